package files

import (
	"encoding/asn1"
)

// isKeyDER reports whether data is a private key in DER: PKCS #1, SEC 1,
// PKCS #8 (plain or encrypted), or PKCS #12. All are a SEQUENCE; a
// certificate and a request begin with another SEQUENCE that holds more than an
// algorithm, so they are told apart by what follows.
func isKeyDER(data []byte) bool {
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(data, &outer); err != nil || outer.Tag != asn1.TagSequence || !outer.IsCompound {
		return false
	}
	var first, second asn1.RawValue
	rest, err := asn1.Unmarshal(outer.Bytes, &first)
	if err != nil {
		return false
	}
	if _, err := asn1.Unmarshal(rest, &second); err != nil {
		return false
	}
	switch first.Tag {
	case asn1.TagInteger:
		// A version: PKCS #1 goes on with an INTEGER, SEC 1 with an OCTET
		// STRING, PKCS #8 and #12 with a SEQUENCE.
		return second.Tag == asn1.TagInteger || second.Tag == asn1.TagOctetString || second.Tag == asn1.TagSequence
	case asn1.TagSequence:
		// EncryptedPrivateKeyInfo: an algorithm, then an OCTET STRING.
		return second.Tag == asn1.TagOctetString
	}
	return false
}
