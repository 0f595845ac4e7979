package problem

// Codes of the xmpp family.
const ()

var xmpp = map[Code]string{}
