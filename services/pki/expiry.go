package pki

import "time"

// Expiry returns whose certificate is the first to expire of those in a file,
// and when.
func Expiry(src Source, name string) (subject string, until time.Time, err error) {
	certs, err := loadCerts(src, name)
	if err != nil {
		return "", time.Time{}, err
	}
	first := certs[0]
	for _, c := range certs[1:] {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	return nameOf(first), first.NotAfter, nil
}
