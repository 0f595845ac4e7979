package diagnosis

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parley/services/xmpp/xmppapi"
)

// report is this node's part for another's Run.
func (f *facts) report(req request) report {
	for i := range f.services {
		f.services[i].Asker = f.own()
	}
	r := report{Host: f.fqdn(), Domain: f.doc.XMPP.Domain, Services: f.services, Chain: f.chain, Trust: f.doc.XMPP.Cluster.Trust, Distrust: f.distrust(req.Chain)}
	if f.docErr != nil {
		r.Findings = []Finding{of(Fail, "configuration", f.docErr)}
		return r
	}
	r.Findings, r.Knocks = f.here(), f.knocks
	if f.bridgesErr == nil {
		r.Index, r.Secrets = f.status.LastIndex, f.digests(req.Salt)
	}
	if name := f.doc.CallBridge.XMPP.Name; f.doc.CallBridge.Enabled {
		r.Bridge = name
		if f.bridgesErr == nil {
			r.Match, r.SecretOf = MatchSecret(f.doc.CallBridge.XMPP, f.bridges)
		}
	} else {
		r.Idle = name
	}
	r.LDAP = f.directoryErr == nil && f.directory.Configured
	return r
}

// whole puts this node's findings, those of the cluster and those of the other
// members together.
func (f *facts) whole(req request, peers []xmppapi.Examined, peersErr error) []Finding {
	own := f.report(req)
	if f.docErr != nil {
		return own.Findings
	}
	reports := map[string]report{}
	var others []Finding
	if peersErr != nil && f.cluster.Member {
		others = append(others, of(Warn, "other members", peersErr).by("xmpp cluster status"))
	}
	for _, p := range peers {
		r, finding, answered := read(p)
		if !answered {
			if !f.isGone(p.Address) {
				others = append(others, finding)
			}
			continue
		}
		reports[host(p.Address)] = r
	}
	doors := f.doors(own, reports)
	all := append(f.withDoors(own.Findings, doors), f.together(doors)...)
	for _, r := range reports {
		if own.Domain == "" && r.Domain != "" {
			for i := range all {
				if all[i].What == whatDomain {
					all[i].Commands = []string{"xmpp domain " + r.Domain}
				}
			}
		}
	}
	names := f.names(own, reports)
	all = append(all, judge(own.Services, f.members(), names)...)
	all = append(all, f.registered(f.homes(own, reports))...)
	all = append(all, f.directoryUsers(own, reports)...)
	all = append(all, f.databaseShared()...)
	for _, addr := range slices.Sorted(maps.Keys(reports)) {
		others = append(others, f.from(addr, reports[addr], own, names)...)
	}
	all = join(all, others)
	shared := sharedBridges(f.own(), own, reports)
	all = slices.DeleteFunc(all, func(n Finding) bool {
		// They take each other's place: that they fail comes of it.
		return n.What == whatBridge && n.Level != OK && shared[orElse(n.Node, f.own())]
	})
	all = append(all, alike(f.own(), own, reports)...)
	return all
}

// homes are the members that have a Call Bridge, by its name.
func (f *facts) homes(own report, reports map[string]report) map[string]home {
	homes := map[string]home{}
	add := func(address string, r report) {
		if r.Idle != "" {
			homes[r.Idle] = home{address, false}
		}
		if r.Bridge != "" {
			homes[r.Bridge] = home{address, true}
		}
	}
	add(f.own(), own)
	for _, address := range slices.Sorted(maps.Keys(reports)) {
		add(address, reports[address])
	}
	return homes
}

// names are the members' host names, as they say themselves, or else as the DNS
// has them.
func (f *facts) names(own report, reports map[string]report) map[string]string {
	names, members := map[string]string{}, f.members()
	for _, r := range append(slices.Collect(maps.Values(reports)), own) {
		for _, s := range r.Services {
			for _, t := range s.Targets {
				for _, a := range t.Addresses {
					if slices.Contains(members, a.String()) {
						names[a.String()] = t.Host
					}
				}
			}
		}
	}
	for addr, r := range reports {
		names[addr] = r.Host
	}
	if own := f.own(); own != "" {
		names[own] = f.fqdn()
	}
	return names
}

// join adds the findings of other members. What two have found alike is told
// once: of a third, or each of itself.
func join(own, others []Finding) []Finding {
	for _, o := range others {
		alike := func(f Finding) bool {
			return f.Level == o.Level && f.What == o.What && f.Detail == o.Detail && slices.Equal(f.Commands, o.Commands)
		}
		if slices.ContainsFunc(own, func(f Finding) bool { return alike(f) && f.Node == o.Node }) {
			continue
		}
		if i := slices.IndexFunc(own, func(f Finding) bool { return alike(f) && f.Node == "" }); i >= 0 && len(o.Commands) > 0 {
			own[i].Also = append(own[i].Also, o.Node)
			continue
		}
		own = append(own, o)
	}
	return own
}

// isGone: that a member cannot be reached is told already.
func (f *facts) isGone(addr string) bool {
	return slices.ContainsFunc(f.cluster.Nodes, func(n xmppapi.Node) bool { return host(n.Address) == host(addr) && !n.Reachable })
}

// read takes what a member has answered.
func read(p xmppapi.Examined) (report, Finding, bool) {
	var r report
	what, detail := "member "+host(p.Address), strings.TrimPrefix(p.Failure, p.Address+" ")
	if detail == "" {
		err := json.Unmarshal(p.Out, &r)
		if err == nil {
			return r, Finding{}, true
		}
		detail = err.Error()
	}
	finding := warn(what, "it did not examine itself: %s", detail)
	if p.Failure == "" || strings.Contains(p.Failure, noSuchCall) {
		return r, finding.first("upgrade the older node").by("version"), false
	}
	return r, finding.first("where it stays so, restart it").by("xmpp cluster status"), false
}

// noSuchCall is what a member says that is too old to examine itself.
const noSuchCall = "there is no such call"

// detailDiffers begins what is found of secrets that are not the same on two
// members.
const detailDiffers = "it has another secret for "

// from are the findings of a member about itself, and of what it and this node
// have to have in common.
func (f *facts) from(addr string, r, own report, names map[string]string) []Finding {
	checks := append(slices.Clone(r.Findings), judge(r.Services, f.members(), names)...)
	if r.Domain != own.Domain && r.Domain != "" && own.Domain != "" {
		checks = append(checks, fail("domain", "it is %s there and %s here", r.Domain, own.Domain).by("xmpp domain "+own.Domain))
	}
	if r.Distrust != "" {
		checks = append(checks, fail("trust bundle", "it does not trust %s: %s", f.own(), r.Distrust).
			first("add that certificate to "+r.Trust).by("xmpp cluster trust "+r.Trust))
	}
	var differ []string
	// With other indexes one of the two is only behind.
	if own.Secrets != nil && r.Secrets != nil && own.Index == r.Index {
		for _, name := range slices.Sorted(maps.Keys(own.Secrets)) {
			if r.Secrets[name] != own.Secrets[name] {
				differ = append(differ, name)
			}
		}
	}
	if len(differ) > 0 {
		checks = append(checks, fail("Call Bridge secrets", detailDiffers+"%s than this node, or none", strings.Join(differ, ", ")).
			first("where it stays so,").by("xmpp cluster remove", "xmpp cluster join "+orElse(f.own(), "<first node>")))
	}
	var bad []Finding
	good := 0
	for _, c := range checks {
		if c.Level == OK {
			good++
			continue
		}
		switch c.Node {
		case "":
			c.Node = addr
		case f.own():
			c.Node = ""
		}
		bad = append(bad, c)
	}
	if why := f.distrust(r.Chain); why != "" {
		trust := f.doc.XMPP.Cluster.Trust
		bad = append(bad, fail("trust bundle", "it does not cover %s: %s", addr, why).first("add that certificate to "+trust).by("xmpp cluster trust "+trust))
	}
	if len(bad) == 0 {
		return []Finding{ok("as "+addr+" sees it", "%s, all well", count(good, "check"))}
	}
	return bad
}

// alike finds nodes that bear the same name, as hosts or as Call Bridges.
func alike(ownAddr string, own report, reports map[string]report) []Finding {
	all := maps.Clone(reports)
	all[ownAddr] = own
	var found []Finding
	first := map[string]string{}
	for _, addr := range slices.Sorted(maps.Keys(all)) {
		name := strings.ToLower(all[addr].Host)
		if name == "" {
			continue
		}
		if other, twice := first[name]; twice {
			f := fail("host name", "%s has the same as %s, %s", addr, other, name).by("hostname <name>")
			if addr != ownAddr {
				f.Node = addr
				f.Detail = fmt.Sprintf("the same as that of %s, %s", other, name)
			}
			found = append(found, f)
			continue
		}
		first[name] = addr
	}
	for _, s := range sharedNames(ownAddr, own, reports) {
		found = append(found, s.findings(ownAddr)...)
	}
	return found
}
