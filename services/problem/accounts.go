package problem

// Codes of the accounts family.
const ()

var accounts = map[Code]string{}
