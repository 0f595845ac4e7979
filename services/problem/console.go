package problem

// Codes of the console family.
const ()

var console = map[Code]string{}
