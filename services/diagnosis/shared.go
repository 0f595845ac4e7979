package diagnosis

import (
	"maps"
	"slices"
	"strings"
)

// sharedName is a name that the Call Bridges of several members bear.
type sharedName struct {
	name string
	// rivals, by address, take each other's place, if there are several of them;
	// wrong ones cannot, as another of the name alone has its secret.
	rivals, wrong []string
	reports       map[string]report
}

// sharedNames are all of them, in order. Whose name it is the secret tells,
// which only one of them has when a Call Bridge was given another's name.
func sharedNames(ownAddr string, own report, reports map[string]report) []sharedName {
	all := maps.Clone(reports)
	all[ownAddr] = own
	by := map[string][]string{}
	for _, addr := range slices.Sorted(maps.Keys(all)) {
		if name := strings.ToLower(all[addr].Bridge); name != "" {
			by[name] = append(by[name], addr)
		}
	}
	var shared []sharedName
	for _, name := range slices.Sorted(maps.Keys(by)) {
		nodes := by[name]
		if len(nodes) < 2 {
			continue
		}
		s := sharedName{name: name, rivals: nodes, reports: all}
		if slices.ContainsFunc(nodes, func(addr string) bool { return all[addr].Match == SecretRight }) {
			wrong := func(addr string) bool { return all[addr].Match == SecretOfOther || all[addr].Match == SecretUnknown }
			s.rivals = nil
			for _, addr := range nodes {
				if wrong(addr) {
					s.wrong = append(s.wrong, addr)
				} else {
					s.rivals = append(s.rivals, addr)
				}
			}
		}
		shared = append(shared, s)
	}
	return shared
}

// sharedBridges are the nodes of whose Call Bridge nothing else is worth telling
// than that it has another one's name.
func sharedBridges(ownAddr string, own report, reports map[string]report) map[string]bool {
	shared := map[string]bool{}
	for _, s := range sharedNames(ownAddr, own, reports) {
		for _, addr := range s.wrong {
			shared[addr] = true
		}
		for _, addr := range s.rivals {
			shared[addr] = len(s.rivals) > 1
		}
	}
	return shared
}

// findings name the nodes that have to change.
func (s sharedName) findings(ownAddr string) []Finding {
	const name = "callbridge xmpp name "
	var all []Finding
	for _, addr := range s.wrong {
		f := fail(whatBridge, "it is called %s, as that of %s rightly is, and has another secret", s.name, s.rivals[0]).
			by(name+"<name>", "callbridge xmpp secret")
		if of := s.reports[addr].SecretOf; of != "" && !s.taken(of) {
			f = fail(whatBridge, "it is called %s, as that of %s rightly is, and has the secret of %s", s.name, s.rivals[0], of).by(name + of)
		}
		if addr != ownAddr {
			f.Node = addr
		}
		all = append(all, f)
	}
	for _, addr := range s.rivals[1:] {
		f := fail(whatBridge, "%s has the same as %s, %s", addr, s.rivals[0], s.name).by(name + "<name>")
		if addr != ownAddr {
			f = fail(whatBridge, "the same as that of %s, %s", s.rivals[0], s.name).by(name + "<name>")
			f.Node = addr
		}
		all = append(all, f)
	}
	return all
}

// taken: a Call Bridge has that name.
func (s sharedName) taken(name string) bool {
	for _, r := range s.reports {
		if strings.EqualFold(r.Bridge, name) {
			return true
		}
	}
	return false
}
