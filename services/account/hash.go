package account

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of one password check: OWASP's second recommendation for argon2id.
const (
	hashMemory = 19 * 1024 // KiB
	hashTime   = 2
	hashLanes  = 1
	hashSalt   = 16
	hashSize   = 32
)

// newHash returns password's hash in PHC string format.
func newHash(password string) string {
	salt := make([]byte, hashSalt)
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashLanes, hashSize)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashLanes, b64(salt), b64(sum))
}

// checkHash reports whether password has that hash. A hash that does not
// parse, as the empty one of an unknown name, costs as much time as any other
// and matches nothing.
func checkHash(hash, password string) bool {
	m, t, p, salt, want, ok := parseHash(hash)
	if !ok {
		m, t, p, salt, want = hashMemory, hashTime, hashLanes, make([]byte, hashSalt), make([]byte, hashSize)
	}
	sum := argon2.IDKey([]byte(password), salt, t, m, p, uint32(len(want)))
	return subtle.ConstantTimeCompare(sum, want) == 1 && ok
}

func parseHash(hash string) (m, t uint32, p uint8, salt, sum []byte, ok bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return 0, 0, 0, nil, nil, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); n != 3 || err != nil {
		return 0, 0, 0, nil, nil, false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return 0, 0, 0, nil, nil, false
	}
	sum, err = base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return 0, 0, 0, nil, nil, false
	}
	// A damaged file must not make a check cost all memory or a day.
	if m > 8*hashMemory || t == 0 || t > 8*hashTime || p == 0 || p > 8 || len(sum) < 16 || len(sum) > 64 {
		return 0, 0, 0, nil, nil, false
	}
	return m, t, p, salt, sum, true
}
