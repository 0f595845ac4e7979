package directory

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"parley/services/problem"
)

// fromServer says whether err is a server's answer, and not a failure on the
// way; go-ldap's own codes begin with 200.
func fromServer(err error) bool {
	e, ok := errors.AsType[*ldap.Error](err)
	return ok && e.ResultCode < 200
}

// declined says whether err is a server's no to a name and password: they are
// wrong, or the account is locked, disabled, expired or has no password.
func declined(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication,
		ldap.LDAPResultConstraintViolation, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights,
		ldap.LDAPResultUnwillingToPerform)
}

// refusal is the problem of which err is the sign when what was asked for; nil
// for nil. A context's end is passed on.
func (d *Directory) refusal(err error, what string) error {
	s := &d.settings
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errSilent):
		return problem.New(problem.DirectorySilent, "address", s.address(), "what", what)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case !fromServer(err):
		return problem.New(problem.DirectoryUnreachable, "address", s.address(), "host", s.host, "reason", short(plain(err)))
	}
	e, _ := errors.AsType[*ldap.Error](err)
	switch e.ResultCode {
	case ldap.LDAPResultConfidentialityRequired, ldap.LDAPResultStrongAuthRequired:
		return problem.New(problem.DirectoryInsecure, "address", s.address(), "reason", said(err))
	case ldap.LDAPResultNoSuchObject:
		there := "nothing of it is there, or the service account may not see it"
		if e.MatchedDN != "" {
			there = "only " + short(e.MatchedDN) + " is there"
		}
		return problem.New(problem.DirectoryBase, "base", short(s.base), "address", s.address(), "reason", there)
	case ldap.LDAPResultReferral:
		return problem.New(problem.DirectoryBase, "base", short(s.base), "address", s.address(), "reason", "the server refers to another one for it")
	case ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultAdminLimitExceeded:
		return problem.New(problem.DirectoryLimit, "address", s.address(), "reason", said(err))
	}
	return problem.New(problem.DirectoryRefused, "address", s.address(), "what", what, "reason", said(err))
}

// said is a server's answer: what the code means, and its own words.
func said(err error) string {
	e, ok := errors.AsType[*ldap.Error](err)
	if !ok {
		return short(plain(err))
	}
	text := strings.ToLower(ldap.LDAPResultCodeMap[e.ResultCode])
	if own := strings.TrimRight(e.Err.Error(), "\x00 "); own != "" && own != "<nil>" {
		text += ": " + own
	}
	return short(text)
}

// plain is err without go-ldap's own prefixes.
func plain(err error) string {
	if e, ok := errors.AsType[*ldap.Error](err); ok {
		err = e.Err
	}
	return strings.TrimPrefix(err.Error(), "ldap: ")
}

// adReason is where Active Directory hides why it refused a log-in.
var adReason = regexp.MustCompile(`AcceptSecurityContext error, data ([0-9a-f]+)`)

// why says why the service account was refused.
func why(err error) string {
	if m := adReason.FindStringSubmatch(err.Error()); m != nil {
		switch m[1] {
		case "525":
			return "there is no such user"
		case "52e":
			return "the password is wrong"
		case "530", "531":
			return "the user may not log in now or from here"
		case "532", "773":
			return "the password has expired"
		case "533":
			return "the account is disabled"
		case "701":
			return "the account has expired"
		case "775":
			return "the account is locked"
		}
	}
	switch e, _ := errors.AsType[*ldap.Error](err); e.ResultCode {
	case ldap.LDAPResultInvalidCredentials:
		return "user name or password is wrong"
	case ldap.LDAPResultInvalidDNSyntax:
		return "the user name is not written as this server wants it, like cn=reader,dc=example,dc=com"
	}
	return said(err)
}
