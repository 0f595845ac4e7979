package mmp

import (
	"fmt"

	"parley/services/account"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

func callBridgeCommands() []command {
	need := account.Configure
	return []command{
		{
			usage: "xmpp callbridge add <name>", args: []arg{textArg}, summary: "register a Call Bridge, with a new secret",
			help:    "Makes a secret for a component <name>.<domain> and shows it. The Call Bridge logs in with it on port 5223 (XEP-0114 over TLS). Each name is unique and has no domain part.",
			example: "xmpp callbridge add cb1", need: need, run: func(c *call) error { return addCallBridge(c, "") },
		}, {
			usage: "xmpp callbridge add-secret <name>", args: []arg{textArg}, summary: "register one with a secret from elsewhere",
			help:    "Asks for the secret that 'xmpp callbridge list' shows on the first node, without showing it, and registers the Call Bridge with it: the same name has the same secret on all nodes.",
			example: "xmpp callbridge add-secret cb1", need: need, run: addSecret,
		}, {
			usage: "xmpp callbridge del <name>", args: []arg{callBridgeArg}, summary: "remove a Call Bridge",
			help:    "The Call Bridge can no longer log in; if it is connected, it is disconnected.",
			example: "xmpp callbridge del cb1", need: need, run: func(c *call) error {
				return c.done(c.XMPP.DelCallBridge(c.ctx, c.text(0)))
			},
		}, {
			usage: "xmpp callbridge list", summary: "list Call Bridges with their secrets",
			help:    "Name, domain and secret of each registered Call Bridge. The secrets are shown in clear: whoever has one can log in as that Call Bridge.",
			example: "xmpp callbridge list", need: need, run: listCallBridges,
		},
	}
}

var callBridgeArg = arg{parse: anyText, complete: func(c *call, _ []string) []string {
	list, err := c.XMPP.CallBridges(c.ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, b := range list {
		names = append(names, b.Name)
	}
	return names
}}

func addCallBridge(c *call, secret string) error {
	b, err := c.XMPP.AddCallBridge(c.ctx, c.text(0), secret)
	if err != nil {
		return err
	}
	_ = c.out.success("")
	if secret != "" {
		return nil
	}
	return showCallBridge(c, b)
}

func addSecret(c *call) error {
	secret, err := c.secret("Enter callbridge secret\n", "secret")
	if err != nil {
		return err
	}
	if secret == "" {
		return problem.New(problem.SecretEmpty)
	}
	return addCallBridge(c, secret)
}

func listCallBridges(c *call) error {
	list, err := c.XMPP.CallBridges(c.ctx)
	if err != nil {
		return err
	}
	for _, b := range list {
		if err := showCallBridge(c, b); err != nil {
			return err
		}
	}
	return nil
}

func showCallBridge(c *call, b xmppapi.CallBridge) error {
	d, err := c.config.Load()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, "***")
	c.out.rows(row{"Callbridge", b.Name}, row{"Domain", d.XMPP.Domain}, row{"Secret", b.Secret})
	return nil
}
