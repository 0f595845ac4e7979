package problem

// Codes of the network family.
const ()

var network = map[Code]string{}
