// Package faults runs real nodes, breaks them and their network while clients
// chat, and checks afterwards that what was acknowledged was delivered. It
// also measures how long deliveries pause when a leader is lost, and what the
// cluster carries. Its networks, disks and clocks serve other tests too. It is
// for tests; it knows the product by its console, its control sockets and its
// ports only.
package faults
