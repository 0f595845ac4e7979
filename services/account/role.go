package account

// Role says what a user is for.
type Role string

// The roles, as the original has them.
const (
	// Admin may do everything.
	Admin Role = "admin"
	// Crypto handles keys and certificates.
	Crypto Role = "crypto"
	// Audit reads the logs.
	Audit Role = "audit"
	// AppAdmin configures the application through Webadmin, and has no
	// console.
	AppAdmin Role = "appadmin"
	// API is for programs that use the REST API, and has no console.
	API Role = "api"
)

// Roles lists all roles in the order in which help shows them.
func Roles() []Role { return []Role{Admin, Crypto, Audit, AppAdmin, API} }

// ParseRole returns the role of that name.
func ParseRole(name string) (Role, error) {
	for _, r := range Roles() {
		if string(r) == name {
			return r, nil
		}
	}
	return "", errRole(name)
}

// Permission is one thing that a role may or may not do.
type Permission int

const (
	// Console is to log in to the console, over SSH or locally, and to SFTP.
	Console Permission = iota
	// Certificates is to make, read and remove keys, requests and certificates.
	Certificates
	// ReadAudit is to read the audit log.
	ReadAudit
	// Configure is to change anything else of the appliance.
	Configure
)

// Can reports whether the role has permission p.
func (r Role) Can(p Permission) bool {
	switch r {
	case Admin:
		return true
	case Crypto:
		return p == Console || p == Certificates
	case Audit:
		return p == Console || p == ReadAudit
	}
	return false
}
