package problem

// Codes of the files family.
const ()

var files = map[Code]string{}
