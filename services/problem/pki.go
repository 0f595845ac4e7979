package problem

// Codes of the pki family.
const (
	// PKIAttribute: {attribute} is not like one of {names}.
	PKIAttribute Code = "pki-attribute"
	// PKIAttributeValue: {attribute} has a wrong value: {why}.
	PKIAttributeValue Code = "pki-attribute-value"
	// PKINoCN: no common name was given.
	PKINoCN Code = "pki-no-cn"
	// PKIBase: {base} has an ending already, {better} has none.
	PKIBase Code = "pki-base"
	// PKIDays: {days} is not from 1 to {max}.
	PKIDays Code = "pki-days"
	// PKIDamaged: {file} cannot be read: {detail}.
	PKIDamaged Code = "pki-damaged"
	// PKIKind: {file} is {is}, not {want}; {fix}.
	PKIKind Code = "pki-kind"
	// PKIMismatch: {key} does not belong to {certificate}; {fix}.
	PKIMismatch Code = "pki-mismatch"
	// PKINotCA: {subject} in {file} may not sign certificates.
	PKINotCA Code = "pki-not-ca"
	// PKIExpired: {subject} in {file} was valid until {until}.
	PKIExpired Code = "pki-expired"
	// PKINotYet: {subject} in {file} is valid from {from}.
	PKINotYet Code = "pki-not-yet"
	// PKIOrder: {at} is {got} where {want}, the issuer of {child}, belongs.
	PKIOrder Code = "pki-order"
	// PKIIncomplete: {bundle} lacks {issuer}, which signed {subject}.
	PKIIncomplete Code = "pki-incomplete"
	// PKIWeakSignature: {subject} in {file} is signed with {algorithm}.
	PKIWeakSignature Code = "pki-weak-signature"
	// PKIUnverified: {file} does not verify: {detail}.
	PKIUnverified Code = "pki-unverified"

	// The rest are warnings.

	// PKINoBundle: {file} was signed by {issuer}, and no bundle was given.
	PKINoBundle Code = "pki-no-bundle"
	// PKIStray: certificate {at} of {file}, {subject}, leads nowhere.
	PKIStray Code = "pki-stray"
	// PKIDomain: {domain} is not among the {names} of {file}.
	PKIDomain Code = "pki-domain"
	// PKIHost: {host} is not among the {names} of {file}.
	PKIHost Code = "pki-host"
	// PKISoon: {file} expires in {days} days.
	PKISoon Code = "pki-soon"
	// PKIUsage: {file} is not for TLS servers.
	PKIUsage Code = "pki-usage"
	// PKIWeakKey: {file} has a weak key, {key}.
	PKIWeakKey Code = "pki-weak-key"
)

var pki = map[Code]string{
	PKIAttribute:      "'{attribute}' is no attribute; write it like CN:example.com, with one of {names}",
	PKIAttributeValue: "'{attribute}' cannot be used: {why}; write it like CN:example.com subjectAltName:a.example.com,10.0.0.1",
	PKINoCN:           "the common name is missing; add CN:<name>, the XMPP domain as a rule",
	PKIBase:           "'{base}' has an ending already; give the name without it, like {better}",
	PKIDays:           "a certificate cannot be valid for {days} days; choose from 1 to {max}",
	PKIDamaged:        "{file} is damaged: {detail}; put it again, in binary or PEM form",
	PKIKind:           "{file} is {is}, not {want}; {fix}",
	PKIMismatch:       "the key {key} does not belong to {certificate}; {fix}",
	PKINotCA:          "'{subject}' in {file} may not sign certificates; use the certificate of a CA",
	PKIExpired:        "'{subject}' in {file} expired on {until}; put a renewed certificate, or set the clock, which reads {now}",
	PKINotYet:         "'{subject}' in {file} is valid only from {from}; wait, or set the clock, which reads {now}",
	PKIOrder:          "{at} is '{got}', but '{want}', which signed '{child}', belongs there; put {file} with the order {order}",
	PKIIncomplete:     "{bundle} does not hold the certificate of '{issuer}', which signed '{subject}'; add it, intermediates first, the root last",
	PKIWeakSignature:  "'{subject}' in {file} is signed with {algorithm}, which clients refuse; have it signed anew with SHA-256",
	PKIUnverified:     "{file} does not verify against {bundle}: {detail}; see 'pki inspect {file}'",

	PKINoBundle: "{file} was signed by '{issuer}' and no bundle was given; give one as the third file unless clients know that issuer",
	PKIStray:    "certificate {at} of {file}, '{subject}', is not part of the chain; take it out",
	PKIDomain:   "{file} does not name the domain {domain}, only: {names}; clients will refuse it, so request one with subjectAltName:{domain}",
	PKIHost:     "{file} does not name this host, {host}, only: {names}; request one with subjectAltName:{host} if clients connect to that name",
	PKISoon:     "{file} expires in {days} days, on {until}; renew it",
	PKIUsage:    "{file} is not meant for TLS servers (no serverAuth usage); clients may refuse it, so request a server certificate",
	PKIWeakKey:  "{file} has a weak key ({key}); make a new one with 'pki csr'",
}
