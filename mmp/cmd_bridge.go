package mmp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"parley/services/account"
	"parley/services/callbridge"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/peer"
)

func bridgeFamily() family {
	need := account.Configure
	clear := func(command string, change func(*config.CallBridge)) func(*call) error {
		return func(c *call) error {
			return c.changeBridge(func(d *config.Document) error {
				if d.CallBridge.Enabled {
					return problem.New(problem.LinkEnabled, "command", command)
				}
				change(&d.CallBridge)
				return nil
			})
		}
	}
	return family{name: "callbridge", about: "this node's Call Bridge and its connection to XMPP", commands: slices.Concat([]command{
		{
			usage: "callbridge", summary: "configuration and state",
			help:    "What is configured, and the rows that Status > General has of it: XMPP connection and Authentication service. Where the connection has failed, what was tried, and what mends it.",
			example: "callbridge", need: account.Console, run: showBridge,
		}, {
			usage: "callbridge status", summary: "configuration and state",
			help:    "The same as 'callbridge' alone.",
			example: "callbridge status", need: account.Console, run: showBridge,
		}, {
			usage: "callbridge listen <interface>...", args: []arg{interfaceArg}, summary: "note interfaces; no port is opened",
			help:    "Noted and shown, for procedures that set it: this Call Bridge takes no calls, so it opens no port there. Its connection to XMPP goes out, and needs no interface.",
			example: "callbridge listen a", need: need, run: bridgeListen,
		}, {
			usage: "callbridge listen none", summary: "listen nowhere",
			help:    "Takes back 'callbridge listen'. The Call Bridge must be disabled.",
			example: "callbridge listen none", need: need, run: clear("callbridge listen none", func(b *config.CallBridge) { b.Listen = nil }),
		}, {
			usage: "callbridge certs <key> <certificate> [<bundle>]", args: []arg{keyArg, certificateArg, certificateArg}, summary: "set key and certificates",
			help: "The private key, the certificate for it, and the certificates of the authorities: intermediates first, the root last. They are files that came by SFTP or from 'pki csr'.\n" +
				"Key and certificate that do not match, one that has expired, and a chain that is out of order are refused. As 'callbridge listen' opens nothing, nobody is shown them: to XMPP the Call Bridge logs in with its secret.",
			example: "callbridge certs callbridge.key callbridge.crt certall.cer", need: need, run: bridgeCerts,
		}, {
			usage: "callbridge certs none", summary: "use no certificate",
			help:    "Takes back 'callbridge certs'. The Call Bridge must be disabled. The files stay.",
			example: "callbridge certs none", need: need, run: clear("callbridge certs none", func(b *config.CallBridge) {
				b.Key, b.Certificate, b.Bundle = "", "", ""
			}),
		}, {
			usage: "callbridge trust <bundle>", args: []arg{certificateArg}, summary: "set what XMPP servers are trusted by",
			help: "A file with the certificates of the XMPP servers themselves, or with their authority's: then the server's certificate has to name the XMPP domain, or the server as it is addressed.\n" +
				"Without it the authorities count that come with the system.",
			example: "callbridge trust certall.cer", need: need, run: bridgeTrust,
		}, {
			usage: "callbridge trust none", summary: "trust the system's authorities",
			help:    "Takes back 'callbridge trust': an XMPP server's certificate has to be of an authority that comes with the system.",
			example: "callbridge trust none", need: need, run: func(c *call) error {
				return c.changeBridge(func(d *config.Document) error { d.CallBridge.Trust = ""; return nil })
			},
		}, {
			usage: "callbridge enable", summary: "connect to XMPP",
			help:    "Connects to an XMPP server, and to another one when the connection breaks. Name, domain and secret must have been set: 'callbridge xmpp name', 'callbridge xmpp domain', 'callbridge xmpp secret'.",
			example: "callbridge enable", need: need, run: bridgeEnable,
		}, {
			usage: "callbridge disable", summary: "end the connection",
			help:    "Ends the connection and makes none. The configuration stays.",
			example: "callbridge disable", need: need, run: func(c *call) error {
				return c.changeBridge(func(d *config.Document) error { d.CallBridge.Enabled = false; return nil })
			},
		}, {
			usage: "callbridge restart", summary: "connect anew, at once",
			help:    "Ends the connection, reads the trust bundle again, asks the DNS again, and connects without waiting for the next try.",
			example: "callbridge restart", need: need, run: func(c *call) error {
				return c.done(c.Bridge.Restart(c.ctx))
			},
		}, {
			usage: "callbridge test", summary: "walk the way to each XMPP server",
			help: "Tries each step to each XMPP server, by the configuration as it is: look-up in the DNS, TCP, TLS with the server's certificate, authentication. One line a step, and after one that failed what mends it.\n" +
				"The connection that there is stays; while there is one, the other servers are asked for the name, and not for the secret. Ctrl-C gives up.",
			example: "callbridge test", need: need, run: bridgeTest,
		}, {
			usage: "callbridge xmpp name <name>", args: []arg{textArg}, summary: "set the unique Call Bridge name",
			help:    "The name by which 'xmpp callbridge add' has registered this Call Bridge, without a domain part. Each Call Bridge has a name of its own.",
			example: "callbridge xmpp name cb1", need: need, run: func(c *call) error {
				return c.changeLink(func(l *config.BridgeLink) error {
					if l.Name = strings.ToLower(c.text(0)); l.Name == "" {
						return problem.New(problem.BridgeName, "name", "''")
					}
					return nil
				})
			},
		}, {
			usage: "callbridge xmpp domain <name>", args: []arg{domainArg}, summary: "set the XMPP domain",
			help:    "The domain that 'xmpp domain' has on the XMPP servers. Without a server address they are found by the SRV records of _xmpp-component._tcp.<domain>.",
			example: "callbridge xmpp domain tptac9.com", need: need, run: func(c *call) error {
				return c.changeLink(func(l *config.BridgeLink) error { l.Domain = c.text(0); return nil })
			},
		}, {
			usage: "callbridge xmpp server <address>", args: []arg{textArg}, summary: "use one XMPP server only",
			help:    "The name or address of the one server to connect to, with :<port> where that is not 5223. 'localhost' is this node's own. When it fails there is no other; see 'callbridge xmpp server none'.",
			example: "callbridge xmpp server cb1.tptac9.com", need: need, run: func(c *call) error {
				return c.changeLink(func(l *config.BridgeLink) error {
					if l.Server = strings.ToLower(c.text(0)); l.Server == "" {
						return problem.New(problem.LinkServer, "server", "")
					}
					return nil
				})
			},
		}, {
			usage: "callbridge xmpp server none", summary: "find XMPP servers by the DNS",
			help:    "Finds the servers by the SRV records of _xmpp-component._tcp.<domain>, and goes from one that fails to the next.",
			example: "callbridge xmpp server none", need: need, run: func(c *call) error {
				return c.changeLink(func(l *config.BridgeLink) error { l.Server = ""; return nil })
			},
		}, {
			usage: "callbridge xmpp secret", summary: "set the shared secret",
			help:    "Asks for the secret that 'xmpp callbridge list' shows for this Call Bridge on the XMPP servers, without showing it.",
			example: "callbridge xmpp secret", need: need, run: bridgeSecret,
		},
	}, directoryCommands())}
}

func showBridge(c *call) error {
	d, err := c.config.Load()
	if err != nil {
		return err
	}
	b, secret := d.CallBridge, ""
	if b.XMPP.Secret != "" {
		secret = "set"
	}
	rows := []row{
		{"Enabled", strconv.FormatBool(b.Enabled)}, {"Listening interfaces", strings.Join(b.Listen, " ")},
		{"Key file", b.Key}, {"Certificate file", b.Certificate}, {"CA Bundle file", b.Bundle}, {"XMPP trust bundle", b.Trust},
		{"Unique name", b.XMPP.Name}, {"Domain", b.XMPP.Domain}, {"Server address", b.XMPP.Server}, {"Shared secret", secret},
	}
	s, err := c.Bridge.Status(c.ctx)
	if err != nil {
		c.out.rows(append(rows, row{"XMPP connection", "not known"})...)
		return err
	}
	rows = append(rows, row{"XMPP connection", s.XMPPRow}, row{"Authentication service", s.AuthenticationRow})
	if s.Reason != "" {
		rows = append(rows, row{"What failed", s.Detail}, row{"What mends it", s.Hint})
	}
	if wait := s.Next.Sub(c.Now()); wait > 0 {
		rows = append(rows, row{"Tried again in", duration(wait)})
	}
	c.out.rows(rows...)
	return nil
}

func bridgeListen(c *call) error {
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
	return c.changeBridge(func(d *config.Document) error { d.CallBridge.Listen = names; return nil })
}

func bridgeCerts(c *call) error {
	return c.changeBridge(func(d *config.Document) error {
		b := &d.CallBridge
		b.Key, b.Certificate, b.Bundle = c.text(0), c.text(1), c.text(2)
		return c.checkHostCerts(d, b.Key, b.Certificate, b.Bundle)
	})
}

func bridgeTrust(c *call) error {
	file := c.text(0)
	data, err := c.Files.Read(file)
	if err != nil {
		return err
	}
	if _, err := peer.LoadTrust(data); err != nil {
		return problem.New(problem.LinkTrust, "file", file, "detail", err.Error())
	}
	for _, cert := range certificates(data) {
		if c.Now().After(cert.NotAfter) {
			return problem.New(problem.PKIExpired, "subject", cert.Subject.CommonName, "file", file, "until", dateTime(cert.NotAfter)+" UTC", "now", dateTime(c.Now())+" UTC")
		}
	}
	return c.changeBridge(func(d *config.Document) error { d.CallBridge.Trust = file; return nil })
}

// bridgeEnable names the first command that is missing.
func bridgeEnable(c *call) error {
	return c.changeBridge(func(d *config.Document) error {
		missing := func(what, command string) error {
			return problem.New(problem.LinkUnready, "missing", what, "command", command)
		}
		switch l := d.CallBridge.XMPP; {
		case l.Name == "":
			return missing("unique name", "callbridge xmpp name <name>")
		case l.Domain == "":
			return missing("XMPP domain", "callbridge xmpp domain <domain>")
		case l.Secret == "":
			return missing("secret", "callbridge xmpp secret")
		}
		d.CallBridge.Enabled = true
		return nil
	})
}

func bridgeSecret(c *call) error {
	secret, err := c.secret("Enter callbridge secret\n", "secret")
	if err != nil {
		return err
	}
	if secret == "" {
		return problem.New(problem.SecretEmpty)
	}
	return c.changeLink(func(l *config.BridgeLink) error { l.Secret = config.Secret(secret); return nil })
}

func bridgeTest(c *call) error { return c.walk("callbridge test", c.Bridge.Test) }

// interrupted is the end of what was watched, which Ctrl-C may have been.
func interrupted(c *call, err error) error {
	if errors.Is(err, context.Canceled) && c.ctx.Err() == nil {
		return problem.New(problem.Interrupted)
	}
	return err
}

// walk prints the steps of a test, which command does.
func (c *call) walk(command string, test func(context.Context) ([]callbridgeapi.Step, error)) error {
	var steps []callbridgeapi.Step
	var err error
	c.watch(func(ctx context.Context) { steps, err = test(ctx) })
	if err := interrupted(c, err); err != nil {
		return err
	}
	wide := 0
	for _, s := range steps {
		wide = max(wide, len(stepName(s)))
	}
	failed := 0
	for _, s := range steps {
		verdict := "OK  "
		if !s.OK {
			verdict = "FAIL"
			failed++
		}
		fmt.Fprintf(c.out, "%s  %-*s  %s (%s)\n", verdict, wide, stepName(s), s.Detail, millis(s.Took))
		if !s.OK && s.Hint != "" {
			fmt.Fprintf(c.out, "      %s\n", s.Hint)
		}
	}
	if failed > 0 {
		return problem.New(problem.LinkTest, "failed", strconv.Itoa(failed), "all", strconv.Itoa(len(steps)), "command", command)
	}
	return c.out.success("")
}

func stepName(s callbridgeapi.Step) string {
	if s.Target == "" {
		return s.What
	}
	return s.Target + " " + s.What
}

// changeLink changes how XMPP is reached.
func (c *call) changeLink(change func(*config.BridgeLink) error) error {
	return c.changeBridge(func(d *config.Document) error {
		if err := change(&d.CallBridge.XMPP); err != nil {
			return err
		}
		return callbridge.CheckLink(d.CallBridge.XMPP)
	})
}

// changeBridge changes the Call Bridge's configuration; if the service refuses
// it, nothing has changed.
func (c *call) changeBridge(change func(*config.Document) error) error {
	return c.done(c.config.Transact(change, func() error { return c.Bridge.Reload(c.ctx) }))
}
