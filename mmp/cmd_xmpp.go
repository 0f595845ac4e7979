package mmp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/services/account"
	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/xmppapi"
)

func xmppFamily() family {
	need := account.Configure
	return family{name: "xmpp", about: "the chat server: its set-up, cluster, Call Bridges, chat accounts", commands: slices.Concat([]command{
		{
			usage: "xmpp", summary: "configuration and state",
			help:    "What is configured, and after STATUS what the server does: sessions of clients, connected Call Bridges, chat accounts, messages that wait for somebody who is away, and when certificate and trust bundle expire, with a warning from 30 days on.",
			example: "xmpp", need: account.Console, run: showXMPP,
		}, {
			usage: "xmpp status", summary: "configuration and state",
			help:    "The same as 'xmpp' alone.",
			example: "xmpp status", need: account.Console, run: showXMPP,
		}, {
			usage: "xmpp domain <name>", args: []arg{domainArg}, summary: "set the domain of chat addresses",
			help:    "The part after @ in everybody's address, as in ben@tptac9.com. The DNS should have SRV records for _xmpp-client._tcp.<domain> (port 5222) and _xmpp-component._tcp.<domain> (port 5223). All nodes of one deployment have the same domain.",
			example: "xmpp domain tptac9.com", need: need, run: setDomain,
		}, {
			usage: "xmpp listen <interface>...", args: []arg{interfaceArg}, summary: "set the interfaces to listen on",
			help:    "Clients are served on TCP port 5222 and Call Bridges on 5223 of these interfaces.",
			example: "xmpp listen a", need: need, run: listen,
		}, {
			usage: "xmpp listen none", summary: "listen nowhere",
			help:    "Takes back 'xmpp listen'. XMPP must be disabled.",
			example: "xmpp listen none", need: need, run: func(c *call) error {
				return c.changeXMPP(func(d *config.Document) error {
					d.XMPP.Listen = nil
					return mayClear(d, "listening interface", "xmpp listen none")
				})
			},
		}, {
			usage: "xmpp certs <key> <certificate> [<bundle>]", args: []arg{keyArg, certificateArg, certificateArg}, summary: "set key and certificates",
			help: "The private key, the certificate for it, and the certificates of the authorities: intermediates first, the root last. They are files that came by SFTP or from 'pki csr'. The certificate should name the domain and this host in its subjectAltName.\n" +
				"Key and certificate that do not match, one that has expired, and a chain that is out of order are refused.",
			example: "xmpp certs abhiall.key abhiall.cer certall.cer", need: need, run: setCerts,
		}, {
			usage: "xmpp certs none", summary: "use no certificate",
			help:    "Takes back 'xmpp certs'. XMPP must be disabled. The files stay.",
			example: "xmpp certs none", need: need, run: func(c *call) error {
				return c.changeXMPP(func(d *config.Document) error {
					d.XMPP.Key, d.XMPP.Certificate, d.XMPP.Bundle = "", "", ""
					return mayClear(d, "certificate", "xmpp certs none")
				})
			},
		}, {
			usage: "xmpp enable", summary: "open the doors",
			help:    "Starts to serve clients and Call Bridges. Domain, interfaces and certificates must have been set: 'xmpp domain', 'xmpp listen', 'xmpp certs'.",
			example: "xmpp enable", need: need, run: enable,
		}, {
			usage: "xmpp disable", summary: "close the doors",
			help:    "Ends all connections and accepts no more. Accounts, Call Bridges and messages are kept and can be changed.",
			example: "xmpp disable", need: need, run: func(c *call) error {
				return c.changeXMPP(func(d *config.Document) error { d.XMPP.Enabled = false; return nil })
			},
		}, {
			usage: "xmpp restart", summary: "drop all connections and start again",
			help:    "Ends all connections, reads key and certificates again, and opens the doors. Clients connect again by themselves.",
			example: "xmpp restart", need: need, run: func(c *call) error {
				return c.done(c.XMPP.Restart(c.ctx))
			},
		}, {
			usage: "xmpp reset", summary: "forget everything about XMPP",
			help:    "Asks for a capital Y, then forgets domain, interfaces, certificates and cluster, all Call Bridges, chat accounts, rosters and messages of this node. Files stay. A member takes itself out of its cluster first; where it cannot, it says what to type on another node. It is refused where the others would be too few without it: take out those that are lost first.",
			example: "xmpp reset", need: need, run: reset,
		},
	}, clusterCommands(), callBridgeCommands(), chatUserCommands(), diagnoseCommands())}
}

// domainArg is a DNS name of two labels or more, in lower case; an address of
// its own cannot have SRV records and hardly a certificate.
var domainArg = arg{parse: func(s string) (any, error) {
	bad := func(reason string) error {
		return problem.New(problem.DomainBad, "domain", s, "reason", reason)
	}
	d, err := jid.Domain(strings.ToLower(s))
	if err != nil {
		return nil, bad("it has characters that names in the DNS have not")
	}
	if _, err := netip.ParseAddr(strings.Trim(d, "[]")); err == nil || len(d) > 253 {
		return nil, bad("it is not a name in the DNS")
	}
	labels := strings.Split(d, ".")
	if len(labels) < 2 {
		return nil, bad("it has one label only")
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.HasPrefix(l, "-") || strings.HasSuffix(l, "-") || strings.ContainsAny(l, "_ !#$%&*+=?~`|;(){}[]\\^,") {
			return nil, bad("'" + l + "' is not a label of a name in the DNS")
		}
	}
	return d, nil
}}

func showXMPP(c *call) error {
	d, err := c.config.Load()
	if err != nil {
		return err
	}
	s, err := c.XMPP.Status(c.ctx)
	x := d.XMPP
	rows := []row{
		{"Enabled", strconv.FormatBool(x.Enabled)}, {"Clustered", strconv.FormatBool(s.Clustered)}, {"Domain", x.Domain},
		{"Listening interfaces", strings.Join(x.Listen, " ")}, {"Key file", x.Key}, {"Certificate file", x.Certificate},
		{"CA Bundle file", x.Bundle}, {"Trust bundle", x.Cluster.Trust},
	}
	if err != nil {
		c.out.rows(append(rows, row{"STATUS", "not known"})...)
		return err
	}
	c.out.rows(append(rows,
		row{"Certificate expires", c.countdown(s.Expires)}, row{"Trust bundle expires", c.countdown(s.TrustExpires)}, row{"Addresses", strings.Join(s.Addresses, " ")},
		row{"Client sessions", strconv.Itoa(s.Sessions)}, row{"Call Bridges connected", strconv.Itoa(s.Components)},
		row{"Chat accounts", strconv.Itoa(s.Accounts)}, row{"Messages waiting", strconv.Itoa(s.Pending)},
		row{"STATUS", statusText(x, s)})...)
	c.expiryWarning(x.Certificate, s.Expires)
	if x.Cluster.Trust != x.Certificate {
		c.expiryWarning(x.Cluster.Trust, s.TrustExpires)
	}
	return nil
}

// countdown is a time of expiry with the whole days until then.
func (c *call) countdown(t time.Time) string {
	left := t.Sub(c.Now())
	switch {
	case t.IsZero():
		return ""
	case left < 0:
		return dateTime(t) + " (EXPIRED)"
	}
	return fmt.Sprintf("%s (%s left)", dateTime(t), count(int(left/day), "day"))
}

const (
	day = 24 * time.Hour
	// expiresSoon is when an end of validity is worth a warning.
	expiresSoon = 30 * day
)

func (c *call) expiryWarning(file string, t time.Time) {
	switch left := t.Sub(c.Now()); {
	case t.IsZero() || left > expiresSoon:
	case left < 0:
		fmt.Fprintf(c.out, "WARNING: %s\n", text(problem.New(problem.CertificateExpired, "file", file, "until", dateTime(t)+" UTC")))
	default:
		fmt.Fprintf(c.out, "WARNING: %s\n", text(problem.New(problem.PKISoon, "file", file, "days", strconv.Itoa(int(left/day)), "until", dateTime(t)+" UTC")))
	}
}

func statusText(x config.XMPP, s xmppapi.Status) string {
	switch {
	case s.Trouble != "":
		return "XMPP server not running: " + s.Trouble
	case s.Running:
		return "XMPP server running"
	case x.Enabled:
		return "XMPP server starting"
	}
	return "XMPP server not running"
}

func setDomain(c *call) error {
	domain := c.text(0)
	if err := c.mayUncluster("xmpp domain " + domain); err != nil {
		return err
	}
	return c.changeXMPP(func(d *config.Document) error {
		d.XMPP.Domain = domain
		if err := c.checkCerts(d); err != nil {
			return err
		}
		return c.recheckTrust(d.XMPP)
	})
}

func listen(c *call) error {
	var names []string
	for i := range c.values {
		name := c.text(i)
		if slices.Contains(names, name) {
			return problem.New(problem.ArgumentTwice, "value", name)
		}
		if _, err := c.nic(name); err != nil {
			return err
		}
		names = append(names, name)
	}
	return c.changeXMPP(func(d *config.Document) error { d.XMPP.Listen = names; return nil })
}

func setCerts(c *call) error {
	return c.changeXMPP(func(d *config.Document) error {
		d.XMPP.Key, d.XMPP.Certificate, d.XMPP.Bundle = c.text(0), c.text(1), c.text(2)
		if err := c.checkCerts(d); err != nil {
			return err
		}
		err := c.recheckTrust(d.XMPP)
		if p, ok := errors.AsType[*problem.Problem](err); ok && p.Code == problem.ClusterTrustSelf {
			return &problem.Problem{Code: problem.ClusterTrustNew, Values: p.Values}
		}
		return err
	})
}

// enable names the first command that is missing; the order is the article's.
func enable(c *call) error {
	return c.changeXMPP(func(d *config.Document) error {
		x := &d.XMPP
		switch {
		case x.Domain == "":
			return problem.New(problem.XMPPUnready, "missing", "domain", "command", "xmpp domain <name>")
		case len(x.Listen) == 0:
			return problem.New(problem.XMPPUnready, "missing", "interface to listen on", "command", "xmpp listen <interface>")
		case x.Key == "":
			return problem.New(problem.XMPPUnready, "missing", "certificate", "command", "xmpp certs <key> <certificate> <bundle>")
		}
		x.Enabled = true
		return c.checkCerts(d)
	})
}

// mayClear refuses to take away what a running server or a cluster needs.
func mayClear(d *config.Document, what, command string) error {
	switch {
	case d.XMPP.Enabled:
		return problem.New(problem.XMPPEnabled, "what", what)
	case d.XMPP.Cluster.Enabled:
		return problem.New(problem.ClusterModeOn, "command", command)
	}
	return nil
}

func reset(c *call) error {
	if err := c.confirm(resetConsequence(c)); err != nil {
		return err
	}
	stillMember := ""
	err := c.config.Transact(func(d *config.Document) error {
		d.XMPP = config.XMPP{}
		return nil
	}, func() (err error) {
		if stillMember, err = c.XMPP.Reset(c.ctx); err != nil {
			return err
		}
		return c.XMPP.Reload(c.ctx)
	})
	if err != nil {
		return err
	}
	if stillMember != "" {
		c.out.warn(problem.New(problem.ClusterStillMember, "address", stillMember))
	}
	return c.out.success("")
}

func resetConsequence(c *call) string {
	forgets := "This forgets the XMPP configuration of this node, all Call Bridges, chat accounts, rosters and messages."
	// A service that does not answer must not keep anybody from a reset.
	if cl, err := c.XMPP.Cluster(c.ctx); err == nil && cl.Member {
		return "This takes this node out of its cluster; the other nodes keep what they have.\n" + forgets
	}
	return forgets
}

// changeXMPP changes the XMPP configuration; if the server refuses it, nothing
// has changed.
func (c *call) changeXMPP(change func(*config.Document) error) error {
	err := c.config.Transact(change, func() error { return c.XMPP.Reload(c.ctx) })
	return c.done(err)
}
