package mmp

import (
	"net/netip"
	"strconv"
	"strings"

	"parley/services/account"
	"parley/services/files"
	"parley/services/network/networkapi"
	"parley/services/problem"
)

// The kinds of arguments that several families use. parse checks the form
// alone; whether a thing of that name is there, its owner says.

var interfaceArg = arg{
	parse: func(s string) (any, error) {
		if len(s) != 1 || s[0] < 'a' || s[0] > 'd' {
			return nil, problem.New(problem.InterfaceUnknown, "interface", s)
		}
		return s, nil
	},
	complete: func(c *call, _ []string) []string {
		nics, err := c.Network.Interfaces(c.ctx)
		if err != nil {
			return []string{"a"}
		}
		names := make([]string, len(nics))
		for i, n := range nics {
			names[i] = n.Name
		}
		return names
	},
}

var prefixArg = arg{parse: func(s string) (any, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return nil, problem.New(problem.ArgumentBad, "value", s, "what", "an IPv4 address with its prefix length", "like", "10.0.0.5/24")
	}
	return p, nil
}}

var gatewayArg = arg{parse: func(s string) (any, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return nil, problem.New(problem.ArgumentBad, "value", s, "what", "the IPv4 address of a gateway", "like", "10.0.0.1")
	}
	return a, nil
}}

// fileArg is the name of a file that is there.
var fileArg = fileWith()

// fileWith is a file whose name ends in one of exts, as far as completion
// goes; without exts, any.
func fileWith(exts ...string) arg {
	return arg{
		parse: func(s string) (any, error) { return s, files.CheckName(s) },
		complete: func(c *call, _ []string) []string {
			list, err := c.Files.List(c.who())
			if err != nil {
				return nil
			}
			var names []string
			for _, f := range list {
				if !f.ReadOnly && hasSuffix(f.Name, exts) {
					names = append(names, f.Name)
				}
			}
			return names
		},
	}
}

func hasSuffix(name string, exts []string) bool {
	for _, e := range exts {
		if strings.HasSuffix(strings.ToLower(name), e) {
			return true
		}
	}
	return len(exts) == 0
}

var (
	keyArg         = fileWith(".key", ".pem")
	certificateArg = fileWith(".crt", ".cer", ".pem")
)

func (c *call) who() files.Who {
	return files.Who{Name: c.user.Name, Role: c.user.Role, Source: c.source}
}

// userArg is the name of one of the appliance's own accounts.
var userArg = arg{parse: anyText, complete: func(c *call, _ []string) []string {
	if !c.user.Role.Can(account.Configure) {
		return []string{c.user.Name}
	}
	list, err := c.Accounts.List()
	if err != nil {
		return nil
	}
	var names []string
	for _, u := range list {
		names = append(names, u.Name)
	}
	return names
}}

// number is a whole number from low to high.
func number(low, high, like int) arg {
	return arg{parse: func(s string) (any, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return nil, problem.New(problem.NumberBad, "value", s, "min", strconv.Itoa(low), "max", strconv.Itoa(high), "like", strconv.Itoa(like))
		}
		return n, nil
	}}
}

// textArg is what its owner checks.
var textArg = arg{parse: anyText}

// nic returns what is known of an interface now.
func (c *call) nic(name string) (networkapi.Interface, error) {
	nics, err := c.Network.Interfaces(c.ctx)
	if err != nil {
		return networkapi.Interface{}, err
	}
	var present []string
	for _, n := range nics {
		if n.Name == name {
			return n, nil
		}
		present = append(present, n.Name)
	}
	return networkapi.Interface{}, problem.New(problem.InterfaceAbsent, "interface", name, "present", orNone(strings.Join(present, ", ")))
}

// choice is one of a few words, in any case.
func choice(what string, words ...string) arg {
	return arg{
		parse: func(s string) (any, error) {
			for _, w := range words {
				if strings.EqualFold(s, w) {
					return w, nil
				}
			}
			return nil, problem.New(problem.ArgumentBad, "value", s, "what", what, "like", strings.Join(words, ", "))
		},
		complete: func(*call, []string) []string { return words },
	}
}
