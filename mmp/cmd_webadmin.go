package mmp

import (
	"cmp"
	"errors"
	"strconv"
	"strings"

	"parley/services/account"
	"parley/services/config"
	"parley/services/pki"
	"parley/services/problem"
	"parley/services/webadmin"
	"parley/services/webadmin/webadminapi"
)

func webadminFamily() family {
	need := account.Configure
	return family{name: "webadmin", about: "the web interface: its interface, port and certificate", commands: []command{
		{
			usage: "webadmin", summary: "configuration and state",
			help:    "What is configured, and after STATUS whether the web interface can be reached. Log in to it with the name and password of a user of role admin or appadmin.",
			example: "webadmin", need: account.Console, run: showWebadmin,
		}, {
			usage: "webadmin status", summary: "configuration and state",
			help:    "The same as 'webadmin' alone.",
			example: "webadmin status", need: account.Console, run: showWebadmin,
		}, {
			usage: "webadmin listen <interface> [<port>]", args: []arg{interfaceArg, number(1, 65535, 445)}, summary: "set the interface and port to listen on",
			help:    "The web interface is served on this TCP port of the interface, over HTTPS only. Without a port it is 443.",
			example: "webadmin listen a 445", need: need, run: webadminListen,
		}, {
			usage: "webadmin listen none", summary: "listen nowhere",
			help:    "Takes back 'webadmin listen'. Webadmin must be disabled.",
			example: "webadmin listen none", need: need, run: func(c *call) error {
				return c.changeWebadmin(func(d *config.Document) error {
					d.Webadmin.Listen, d.Webadmin.Port = "", 0
					return webadminMayClear(d, "interface to listen on")
				})
			},
		}, {
			usage: "webadmin certs <key> <certificate> [<bundle>]", args: []arg{keyArg, certificateArg, certificateArg}, summary: "set key and certificates",
			help: "The private key, the certificate for it, and the certificates of the authorities: intermediates first, the root last. They are files that came by SFTP or from 'pki csr'. The certificate should name this host in its subjectAltName.\n" +
				"Key and certificate that do not match, one that has expired, and a chain that is out of order are refused.",
			example: "webadmin certs abhiall.key abhiall.cer certall.cer", need: need, run: func(c *call) error {
				return c.changeWebadmin(func(d *config.Document) error {
					d.Webadmin.Key, d.Webadmin.Certificate, d.Webadmin.Bundle = c.text(0), c.text(1), c.text(2)
					return c.checkHostCerts(d, d.Webadmin.Key, d.Webadmin.Certificate, d.Webadmin.Bundle)
				})
			},
		}, {
			usage: "webadmin certs none", summary: "use no certificate",
			help:    "Takes back 'webadmin certs'. Webadmin must be disabled. The files stay.",
			example: "webadmin certs none", need: need, run: func(c *call) error {
				return c.changeWebadmin(func(d *config.Document) error {
					d.Webadmin.Key, d.Webadmin.Certificate, d.Webadmin.Bundle = "", "", ""
					return webadminMayClear(d, "certificate")
				})
			},
		}, {
			usage: "webadmin http-redirect enable", summary: "lead browsers from HTTP to HTTPS",
			help:    "Listens on TCP port 80 of the same interface too, and sends whoever asks there to the web interface's own port. Nothing is served and nothing is taken by HTTP itself.",
			example: "webadmin http-redirect enable", need: need, run: webadminRedirect(true),
		}, {
			usage: "webadmin http-redirect disable", summary: "leave port 80 closed",
			help:    "Takes back 'webadmin http-redirect enable'.",
			example: "webadmin http-redirect disable", need: need, run: webadminRedirect(false),
		}, {
			usage: "webadmin enable", summary: "serve the web interface",
			help:    "Starts to listen. Interface and certificates must have been set: 'webadmin listen', 'webadmin certs'.",
			example: "webadmin enable", need: need, run: func(c *call) error {
				return c.changeWebadmin(func(d *config.Document) error {
					switch w := &d.Webadmin; {
					case w.Listen == "":
						return problem.New(problem.WebadminUnready, "missing", "interface to listen on", "command", "webadmin listen <interface>")
					case w.Key == "":
						return problem.New(problem.WebadminUnready, "missing", "certificate", "command", "webadmin certs <key> <certificate> <bundle>")
					}
					d.Webadmin.Enabled = true
					return c.checkHostCerts(d, d.Webadmin.Key, d.Webadmin.Certificate, d.Webadmin.Bundle)
				})
			},
		}, {
			usage: "webadmin disable", summary: "serve it no more",
			help:    "Ends all connections of browsers and programs and accepts no more.",
			example: "webadmin disable", need: need, run: func(c *call) error {
				return c.changeWebadmin(func(d *config.Document) error { d.Webadmin.Enabled = false; return nil })
			},
		}, {
			usage: "webadmin restart", summary: "log everybody out and start again",
			help:    "Ends all connections and all sessions of browsers, reads key and certificates again, and listens again.",
			example: "webadmin restart", need: need, run: func(c *call) error {
				return c.done(c.Webadmin.Restart(c.ctx))
			},
		},
	}}
}

func webadminRedirect(on bool) func(*call) error {
	return func(c *call) error {
		return c.changeWebadmin(func(d *config.Document) error { d.Webadmin.Redirect = on; return nil })
	}
}

func showWebadmin(c *call) error {
	d, err := c.config.Load()
	if err != nil {
		return err
	}
	s, err := c.Webadmin.Status(c.ctx)
	w := d.Webadmin
	port := ""
	if w.Listen != "" {
		port = strconv.Itoa(cmp.Or(w.Port, webadmin.DefaultPort))
	}
	rows := []row{
		{"Enabled", strconv.FormatBool(w.Enabled)}, {"TLS listening interface", w.Listen}, {"TLS listening port", port},
		{"Key file", w.Key}, {"Certificate file", w.Certificate}, {"CA Bundle file", w.Bundle}, {"HTTP redirect", map[bool]string{true: "Enabled", false: "Disabled"}[w.Redirect]},
	}
	if err != nil {
		c.out.rows(append(rows, row{"STATUS", "not known"})...)
		return err
	}
	c.out.rows(append(rows,
		row{"Certificate expires", c.countdown(s.Expires)}, row{"Sessions", strconv.Itoa(s.Sessions)},
		row{"STATUS", webadminStatus(w, s)})...)
	c.expiryWarning(w.Certificate, s.Expires)
	return nil
}

func webadminStatus(w config.Webadmin, s webadminapi.Status) string {
	switch {
	case s.Trouble != "":
		return "webadmin not running: " + s.Trouble
	case s.Running:
		return "webadmin running"
	case w.Enabled:
		return "webadmin starting"
	}
	return "webadmin not running"
}

// ownPorts are those that services of this appliance listen on, now or once
// they are enabled.
var ownPorts = map[int]string{22: "SSH", 53: "DNS", webadmin.RedirectPort: "the HTTP redirect", 5222: "XMPP clients", 5223: "Call Bridges"}

func webadminListen(c *call) error {
	name, port := c.text(0), 0
	if len(c.values) > 1 {
		port = value[int](c, 1)
	}
	if use := ownPorts[port]; use != "" {
		return problem.New(problem.WebadminPort, "port", strconv.Itoa(port), "use", use)
	}
	if _, err := c.nic(name); err != nil {
		return err
	}
	return c.changeWebadmin(func(d *config.Document) error { d.Webadmin.Listen, d.Webadmin.Port = name, port; return nil })
}

// webadminMayClear refuses to take away what a running Webadmin needs.
func webadminMayClear(d *config.Document, what string) error {
	if d.Webadmin.Enabled {
		return problem.New(problem.WebadminEnabled, "what", what)
	}
	return nil
}

// checkHostCerts checks the files of a service that is come to by this host's
// name; the XMPP domain is not the certificate's business.
func (c *call) checkHostCerts(d *config.Document, key, certificate, bundle string) error {
	host := d.Hostname
	if !strings.Contains(host, ".") && d.XMPP.Domain != "" {
		host += "." + d.XMPP.Domain
	}
	report, err := pki.Check(c.Files, key, certificate, bundle, "", host, c.Now())
	if err = errors.Join(err, report.Err()); err != nil {
		return err
	}
	for _, warning := range report.Warnings {
		c.out.warn(warning)
	}
	return nil
}

// changeWebadmin changes Webadmin's configuration; if the server refuses it,
// nothing has changed.
func (c *call) changeWebadmin(change func(*config.Document) error) error {
	err := c.config.Transact(change, func() error { return c.Webadmin.Reload(c.ctx) })
	return c.done(err)
}
