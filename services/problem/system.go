package problem

// Codes of the system family.
const ()

var system = map[Code]string{}
