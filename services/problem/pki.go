package problem

// Codes of the pki family.
const ()

var pki = map[Code]string{}
