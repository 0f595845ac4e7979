package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/problem"
)

// service is what clients or Call Bridges find servers by, and what the DNS has
// of it as a node's resolver sees it.
type service struct {
	// What it is in findings; Name is its SRV records' and Port the one they
	// should have, Wrong that of the other service.
	What  string `json:"what"`
	Name  string `json:"name"`
	Port  int    `json:"port"`
	Wrong int    `json:"wrong"`
	// Whose port Wrong is.
	Whose string `json:"whose"`

	// From is who answered: "local record", "server 10.0.0.53".
	From string `json:"from,omitempty"`
	Code string `json:"code,omitempty"`
	// Err is why there was no answer; then Silent are the servers that gave none,
	// and Asker is the node that has asked.
	Err     string   `json:"err,omitempty"`
	Silent  []string `json:"silent,omitempty"`
	Asker   string   `json:"asker,omitempty"`
	Targets []target `json:"targets,omitempty"`
}

// target is one SRV record, and what its name resolves to.
type target struct {
	Port  int    `json:"port"`
	Host  string `json:"host"`
	Alias bool   `json:"alias,omitempty"`
	// Local says that the name has a record of that node's own.
	Local bool `json:"local,omitempty"`
	// Err is why the name was not looked up.
	Err       string       `json:"err,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
}

func componentService(domain string) service {
	return service{What: "DNS for Call Bridges", Name: "_xmpp-component._tcp." + domain, Port: componentPort, Wrong: clientPort, Whose: "the client port"}
}

func clientService(domain string) service {
	return service{What: "DNS for clients", Name: "_xmpp-client._tcp." + domain, Port: clientPort, Wrong: componentPort, Whose: "the Call Bridges' port"}
}

// maxTargets bounds what is looked up for one service.
const maxTargets = 32

// findAll looks the services up, past what was not there a moment ago: it may
// have been mended since. forwarders are as for find.
func findAll(ctx context.Context, network Network, services []service, forwarders []string) {
	// Where it fails, so do the look-ups, which tell of it.
	_ = network.ForgetDenials(ctx)
	var all sync.WaitGroup
	for i := range services {
		all.Go(func() { services[i].find(ctx, network, forwarders) })
	}
	all.Wait()
}

// find looks the service and its targets up. forwarders are the servers that its
// zone is sent to, if it is.
func (s *service) find(ctx context.Context, network Network, forwarders []string) {
	answer, err := network.Lookup(ctx, "srv", s.Name)
	if err != nil {
		s.Err, s.Silent = reason(err), silent(err)
		if errors.Is(err, context.DeadlineExceeded) {
			s.Silent = forwarders
		}
		return
	}
	s.From, s.Code = answer.Origin(), answer.Code
	if answer.Server.IsValid() {
		s.From = "server " + s.From
	}
	for _, r := range answer.Records {
		rr, err := dns.NewRR(r)
		if srv, ok := rr.(*dns.SRV); err == nil && ok && len(s.Targets) < maxTargets {
			s.Targets = append(s.Targets, target{Port: int(srv.Port), Host: strings.TrimSuffix(srv.Target, ".")})
		}
	}
	var all sync.WaitGroup
	for i := range s.Targets {
		if t := &s.Targets[i]; t.Host != "" {
			all.Go(func() { t.find(ctx, network) })
		}
	}
	all.Wait()
}

func (t *target) find(ctx context.Context, network Network) {
	for _, kind := range []string{"a", "aaaa"} {
		answer, err := network.Lookup(ctx, kind, t.Host)
		if err != nil {
			if len(t.Addresses) == 0 {
				t.Err = reason(err)
			}
			return
		}
		t.Local = t.Local || answer.Source == localSource && len(answer.Records) > 0
		for _, r := range answer.Records {
			rr, err := dns.NewRR(r)
			if err != nil {
				continue
			}
			switch rr := rr.(type) {
			case *dns.CNAME:
				t.Alias = true
			case *dns.A:
				if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
					t.Addresses = append(t.Addresses, a)
				}
			case *dns.AAAA:
				if a, ok := netip.AddrFromSlice(rr.AAAA); ok {
					t.Addresses = append(t.Addresses, a)
				}
			}
		}
	}
}

// reason is what is wrong, without the fix.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	text, _, _ := strings.Cut(problem.Text(err), "; ")
	return text
}

// forwarders are the servers that are asked for a name, as far as that is set here
// and not by a lease: those of the longest zone.
func forwarders(d config.DNS, name string) (servers []string) {
	longest := -1
	for _, z := range d.Zones {
		labels := dns.CountLabel(dns.Fqdn(z.Domain))
		if !dns.IsSubDomain(dns.Fqdn(z.Domain), dns.Fqdn(name)) || labels < longest {
			continue
		}
		if labels > longest {
			longest, servers = labels, nil
		}
		servers = append(servers, z.Server.Addr().String())
	}
	return servers
}

// silent are the name servers that the error is about.
func silent(err error) (servers []string) {
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok || p.Code != problem.NameServersSilent {
		return nil
	}
	for word := range strings.FieldsSeq(p.Values["servers"]) {
		if a, err := netip.ParseAddr(word); err == nil {
			servers = append(servers, a.String())
		}
	}
	return servers
}

// judge says what is wrong with the records of all services, and of a target
// that they have in common once.
func judge(services []service, members []string, names map[string]string) []Finding {
	var all []Finding
	told := map[string]bool{}
	for _, s := range services {
		for _, f := range s.judge(members, names) {
			if text := f.Text(); !told[text] {
				all, told[text] = append(all, f), true
			}
		}
	}
	return all
}

// judge says what is wrong with the records. members are the addresses of the
// servers, and names their host names where these are known. What the DNS has is
// better mended there; records of a node's own win over it.
func (s service) judge(members []string, names map[string]string) []Finding {
	all := s.faults(members, names)
	for i := range all {
		switch own := "or, for records of this node's own,"; {
		case all[i].Level == OK || strings.HasPrefix(all[i].Commands[0], "dns del"):
		case len(s.Silent) > 0:
			all[i].Advice = fmt.Sprintf("mend the name server, or let UDP and TCP from %s through to port 53 of %s, in the firewalls on the way, %s",
				orElse(s.Asker, "this node"), list(s.Silent), own)
		case s.Err != "":
			all[i].Advice = "see 'dns' and mend the name servers, " + own
		default:
			all[i].Advice = "mend it in the DNS and type 'dns flush', " + own
		}
	}
	return all
}

func (s service) faults(members []string, names map[string]string) []Finding {
	mend := s.commands(members, names)
	switch {
	case s.Err != "":
		return []Finding{fail(s.What, "%s", s.Name+": "+strings.Replace(s.Err, " for "+s.Name, "", 1)).by(mend...)}
	case len(s.Targets) == 0:
		return []Finding{fail(s.What, "there is no SRV record %s (%s, from %s)", s.Name, s.Code, s.From).by(mend...)}
	}
	var all []Finding
	reached := map[string]bool{}
	for _, t := range s.Targets {
		all = append(all, s.judgeTarget(t, members, mend, t.mend(members, names))...)
		for _, a := range t.Addresses {
			reached[a.String()] = true
		}
	}
	for _, m := range members {
		if !reached[m] && len(all) == 0 {
			all = append(all, warn(s.What, "no SRV record of %s leads to the member %s", s.Name, m).by(mend...))
		}
	}
	if len(all) == 0 {
		all = append(all, ok(s.What, "%s leads to %s (from %s)", s.Name, strings.Join(s.hosts(), ", "), s.From))
	}
	return all
}

func (s service) hosts() []string {
	var all []string
	for _, t := range s.Targets {
		all = append(all, t.Host+":"+strconv.Itoa(t.Port))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// mend are the commands that give the target's name the right address, which is
// a member's where members are known.
func (t target) mend(members []string, names map[string]string) []string {
	address := "<address>"
	for _, a := range slices.Sorted(maps.Keys(names)) {
		if strings.EqualFold(names[a], t.Host) && (len(members) == 0 || slices.Contains(members, a)) {
			address = a
			break
		}
	}
	add := "dns add rr " + t.Host + ". 86400 IN A " + address
	switch {
	case t.Local && t.Alias:
		return []string{"dns del rr " + t.Host + " CNAME", add}
	case t.Local:
		return []string{"dns del rr " + t.Host + " A", add}
	}
	return []string{add}
}

// judgeTarget says what is wrong with one record, where mend gives the service
// right ones and address the target.
func (s service) judgeTarget(t target, members, mend, address []string) []Finding {
	var all []Finding
	if t.Host == "" {
		return []Finding{fail(s.What, "%s says that there is no such service (its target is '.')", s.Name).by(mend...)}
	}
	switch t.Port {
	case s.Port:
	case s.Wrong:
		all = append(all, fail(s.What, "%s points to port %d of %s, %s; it should be %d", s.Name, t.Port, t.Host, s.Whose, s.Port).by(mend...))
	default:
		all = append(all, fail(s.What, "%s points to port %d of %s, where no server listens; it should be %d", s.Name, t.Port, t.Host, s.Port).by(mend...))
	}
	what := "DNS for " + t.Host
	switch {
	case t.Err != "":
		all = append(all, fail(what, "%s", t.Err).by(address...))
	case len(t.Addresses) == 0:
		all = append(all, fail(what, "SRV records lead there, and it has no address").by(address...))
	case len(members) > 0 && !t.leadsTo(members) && strings.Contains(address[len(address)-1], "<"):
		// It is no member's name: the record is stale.
		all = append(all, warn(s.What, "the target %s of %s is %v, which is no member (%s)", t.Host, s.Name, t.Addresses[0], strings.Join(members, ", ")).
			by(mend...))
	case len(members) > 0 && !t.leadsTo(members):
		all = append(all, warn(what, "SRV records lead there, and it is %v, which is no member (%s)", t.Addresses[0], strings.Join(members, ", ")).
			by(address...))
	case t.Alias:
		all = append(all, warn(what, "SRV records lead there, and it is an alias (CNAME), which RFC 2782 forbids").by(address...))
	}
	return all
}

// leadsTo reports whether one of the target's addresses is a member's.
func (t target) leadsTo(members []string) bool {
	return slices.ContainsFunc(t.Addresses, func(a netip.Addr) bool { return slices.Contains(members, a.String()) })
}

// commands, one at least, give this node its own records of the service, one for
// each member: local records win over what the DNS has, so all are needed.
func (s service) commands(members []string, names map[string]string) []string {
	var all []string
	if s.From == localSource {
		all = append(all, "dns del rr "+s.Name+" SRV")
	}
	if len(members) == 0 {
		members = slices.Sorted(maps.Keys(names))
	}
	weights := "0 0"
	if s.Port == clientPort {
		weights = "10 50"
	}
	if len(members) == 0 {
		members = []string{"the server"}
	}
	for _, m := range members {
		name := names[m]
		if name == "" {
			name = "<name of " + m + ">"
		}
		all = append(all, fmt.Sprintf("dns add rr %s. 86400 IN SRV %s %d %s.", s.Name, weights, s.Port, name))
	}
	return all
}

// localSource is how the network service calls a record of this node's own.
const localSource = "local record"
