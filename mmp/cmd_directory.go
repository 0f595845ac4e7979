package mmp

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"parley/services/account"
	"parley/services/callbridge"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/directory"
	"parley/services/config"
	"parley/services/problem"
)

func directoryCommands() []command {
	need := account.Configure
	set := func(change func(c *call, d *config.Directory)) func(*call) error {
		return func(c *call) error {
			return c.changeDirectory(func(d *config.Directory) error {
				change(c, d)
				return directory.CheckSettings(*d)
			})
		}
	}
	return []command{
		{
			usage: "callbridge directory", summary: "LDAP server: settings and state",
			help:    "The LDAP or Active Directory server that checks the passwords of chat users who have none here, what is configured of it, how many users it has, and what is wrong where it cannot be asked.\nWhere nodes share a database, the settings hold for all of them, whichever they are set on; the trust bundle is a file, which each of them needs.",
			example: "callbridge directory", need: account.Console, run: showDirectory,
		}, {
			usage: "callbridge directory address <address>", args: []arg{filled("the address of an LDAP server", "ldap.example.com")}, summary: "set the LDAP server",
			help:    "The name or address of the LDAP server. The domain's name will do for Active Directory: it has the addresses of all its servers, and the next one is asked where one is lost.",
			example: "callbridge directory address ldap.example.com", need: need, run: set(func(c *call, d *config.Directory) { d.Address = c.text(0) }),
		}, {
			usage: "callbridge directory address none", summary: "use no LDAP server",
			help:    "Passwords are checked by no LDAP server any more. The other settings stay, and so do the accounts that were made for its users, who cannot log in until they have a password here: 'xmpp user passwd'.",
			example: "callbridge directory address none", need: need, run: set(func(_ *call, d *config.Directory) { d.Address = "" }),
		}, {
			usage: "callbridge directory port <port>", args: []arg{number(1, 65535, 636)}, summary: "set its port",
			help:    "The port of the LDAP server. Without, it is 389, and 636 with LDAPS.",
			example: "callbridge directory port 636", need: need, run: set(func(c *call, d *config.Directory) { d.Port = c.values[0].(int) }),
		}, {
			usage: "callbridge directory port none", summary: "use the usual port",
			help:    "Takes back 'callbridge directory port'.",
			example: "callbridge directory port none", need: need, run: set(func(_ *call, d *config.Directory) { d.Port = 0 }),
		}, {
			usage: "callbridge directory tls <mode>", args: []arg{choice("how the connection is protected", "starttls", "ldaps", "none")}, summary: "set how the connection is protected",
			help:    "starttls, ldaps, or none: then passwords go over the network in clear. Without, it is ldaps on port 636 and starttls on any other.",
			example: "callbridge directory tls ldaps", need: need, run: directoryTLS,
		}, {
			usage: "callbridge directory trust <bundle>", args: []arg{certificateArg}, summary: "set what the LDAP server is trusted by",
			help:    "A file with the LDAP server's certificate, or with its authority's: then the certificate has to name the server as it is addressed. Without, the authorities count that come with the system. Each node that shares the settings needs the file.",
			example: "callbridge directory trust ldap-ca.cer", need: need, run: directoryTrust,
		}, {
			usage: "callbridge directory trust none", summary: "trust the system's authorities",
			help:    "Takes back 'callbridge directory trust'.",
			example: "callbridge directory trust none", need: need, run: set(func(_ *call, d *config.Directory) { d.Trust = "" }),
		}, {
			usage: "callbridge directory username <name>", args: []arg{filled("the name of an account", "cn=reader,dc=example,dc=com")}, summary: "set whom to log in as to search",
			help:    "The account that may look for users, as the LDAP server writes it; with Active Directory user@domain will do. 'callbridge directory password' asks for its password.",
			example: "callbridge directory username cn=reader,dc=example,dc=com", need: need, run: set(func(c *call, d *config.Directory) { d.Username = c.text(0) }),
		}, {
			usage: "callbridge directory username none", summary: "search without logging in",
			help:    "Takes back 'callbridge directory username', and the password with it.",
			example: "callbridge directory username none", need: need, run: set(func(_ *call, d *config.Directory) { d.Username, d.Password = "", "" }),
		}, {
			usage: "callbridge directory password", summary: "set the password of that account",
			help:    "Asks for the password of the account that 'callbridge directory username' names, without showing it.",
			example: "callbridge directory password", need: need, run: directoryPassword,
		}, {
			usage: "callbridge directory basedn <dn>", args: []arg{filled("a distinguished name", "dc=example,dc=com")}, summary: "set where users are looked for",
			help:    "The base distinguished name: the entry below which all users are.",
			example: "callbridge directory basedn ou=people,dc=example,dc=com", need: need, run: set(func(c *call, d *config.Directory) { d.BaseDN = c.text(0) }),
		}, {
			usage: "callbridge directory filter <filter>", args: []arg{filled("an LDAP filter", "(objectClass=person)")}, summary: "set which entries are users",
			help:    "An LDAP filter that all users pass and nobody else. Without, each entry that has the attribute of 'callbridge directory user' is one.",
			example: "callbridge directory filter (objectClass=person)", need: need, run: set(func(c *call, d *config.Directory) { d.Filter = c.text(0) }),
		}, {
			usage: "callbridge directory filter none", summary: "take all entries with a user name",
			help:    "Takes back 'callbridge directory filter'.",
			example: "callbridge directory filter none", need: need, run: set(func(_ *call, d *config.Directory) { d.Filter = "" }),
		}, {
			usage: "callbridge directory user <mapping>", args: []arg{filled("what a name is made of", "$uid$")}, summary: "set what a user's name is made of",
			help:    "The attribute that has the user's name, between two $: as a rule $sAMAccountName$ with Active Directory and $uid$ with others. Of a value with an @, such as of $mail$, the part before it is the name.",
			example: "callbridge directory user $sAMAccountName$", need: need, run: set(func(c *call, d *config.Directory) { d.User = c.text(0) }),
		}, {
			usage: "callbridge directory displayname <mapping>", args: []arg{filled("what a name is made of", "$cn$")}, summary: "set what a user is called",
			help:    "What people read of a user: text, and attributes between two $. With spaces, in double quotes.",
			example: "callbridge directory displayname \"$givenName$ $sn$\"", need: need, run: set(func(c *call, d *config.Directory) { d.DisplayName = c.text(0) }),
		}, {
			usage: "callbridge directory displayname none", summary: "have no names to show",
			help:    "Takes back 'callbridge directory displayname'.",
			example: "callbridge directory displayname none", need: need, run: set(func(_ *call, d *config.Directory) { d.DisplayName = "" }),
		}, {
			usage: "callbridge directory test", summary: "walk the way to the LDAP server",
			help:    "Tries each step by the configuration as it is: look-up in the DNS, TCP, TLS with the server's certificate, log-in, a list of the users. One line a step. Ctrl-C gives up.",
			example: "callbridge directory test", need: need, run: directoryTest,
		}, {
			usage: "callbridge directory sync", summary: "list the users now",
			help:    "Has the LDAP server list its users, as each 15 minutes. Who is new gets a chat account, so that one can write to them before they first log in; who is no longer there is sent away and cannot log in, and keeps roster and messages. Ctrl-C does not wait for it.",
			example: "callbridge directory sync", need: need, run: directorySync,
		},
	}
}

// filled is a text that is not empty; whether it is right its owner says.
func filled(what, like string) arg {
	return arg{parse: func(s string) (any, error) {
		if s == "" {
			return nil, problem.New(problem.ArgumentBad, "value", s, "what", what, "like", like)
		}
		return s, nil
	}}
}

func showDirectory(c *call) error {
	now, err := c.settings.Load(c.ctx)
	if err != nil {
		if s, unknown := c.Bridge.Directory(c.ctx); unknown == nil {
			settings := "not known"
			if s.Unsure {
				settings = "those that the database had when it last answered"
			}
			c.out.rows(append([]row{{"Settings", settings}}, directoryRows(c, s)...)...)
		}
		return err
	}
	d, password := now.Directory, ""
	if d.Password != "" {
		password = "set"
	}
	// What is left out is shown as what it means.
	port, tls := strconv.Itoa(d.Port), d.TLS
	if server, mode := directory.Server(d); d.Address != "" {
		_, port, _ = net.SplitHostPort(server)
		tls = mode
	} else if d.Port == 0 {
		port = ""
	}
	if tls == "none" {
		// What is not set reads "none" as well.
		tls = "none (passwords go in clear)"
	}
	rows := []row{
		{"Address", d.Address}, {"Port", port}, {"TLS", tls}, {"Trust bundle", d.Trust}, {"Service account", d.Username}, {"Password", password},
		{"Base distinguished name", d.BaseDN}, {"Filter", d.Filter}, {"Username mapping", d.User}, {"Display name", d.DisplayName},
	}
	s, err := c.Bridge.Directory(c.ctx)
	if now.Shared() {
		text := fmt.Sprintf("of the database, for all nodes that share it; set on %s %s ago", now.Host, duration(c.Now().Sub(now.Set)))
		if s.Unsure {
			text += "; it has no primary now, so other nodes may have newer ones"
		}
		rows = append(rows, row{"Settings", text})
	}
	if err != nil {
		c.out.rows(append(rows, row{"State", "not known"})...)
		return err
	}
	if callbridge.Unread(s, d) {
		c.out.rows(append(rows, row{"State", "these settings are being read; type 'callbridge directory' again in a few seconds"})...)
		return nil
	}
	c.out.rows(append(rows, directoryRows(c, s)...)...)
	return nil
}

// directoryRows are what the Call Bridge says of the LDAP server.
func directoryRows(c *call, s callbridgeapi.Directory) []row {
	rows := []row{{"State", directoryState(s)}}
	if s.Configured {
		rows = append(rows, row{"Users", usersAt(c, s)})
	}
	if s.Trouble != "" {
		rows = append(rows, row{"What is wrong", s.Trouble})
	}
	return rows
}

func directoryState(s callbridgeapi.Directory) string {
	switch {
	case !s.Configured:
		return "not configured"
	case s.Server == "":
		return "not known"
	case s.ListOnly:
		return s.Server + " (" + s.TLS + ") does not list its users"
	case s.Trouble != "":
		return s.Server + " (" + s.TLS + ") cannot be asked"
	case s.Offered:
		return s.Server + " (" + s.TLS + ") checks passwords"
	}
	return s.Server + " (" + s.TLS + ") is not used, as this Call Bridge is not connected to XMPP"
}

func usersAt(c *call, s callbridgeapi.Directory) string {
	if s.Synced.IsZero() {
		return "not listed yet"
	}
	text := strconv.Itoa(s.Users) + ", listed " + duration(c.Now().Sub(s.Synced)) + " ago"
	if left := directory.LeftOut(s.Unfit, s.Like); left != "" {
		text += "; " + left
	}
	return text
}

func directoryTLS(c *call) error {
	mode := c.text(0)
	if mode == "none" {
		fmt.Fprintln(c.out, "WARNING: passwords go to the LDAP server in clear, for whoever listens on the way; use starttls or ldaps where the server can")
	}
	return c.changeDirectory(func(d *config.Directory) error {
		d.TLS = mode
		return directory.CheckSettings(*d)
	})
}

func directoryTrust(c *call) error {
	file := c.text(0)
	if err := directory.CheckTrust(c.Files, file); err != nil {
		return err
	}
	return c.changeDirectory(func(d *config.Directory) error { d.Trust = file; return nil })
}

func directoryPassword(c *call) error {
	password, err := c.secret("Enter password of the directory's account\n", "password")
	if err != nil {
		return err
	}
	if password == "" {
		return problem.New(problem.DirectoryIncomplete, "missing", "Password", "command", "callbridge directory password")
	}
	return c.changeDirectory(func(d *config.Directory) error { d.Password = config.Secret(password); return nil })
}

// changeDirectory changes the directory's settings, for all nodes that share the
// database, or those of this one.
func (c *call) changeDirectory(change func(*config.Directory) error) error {
	return c.done(c.settings.Change(c.ctx, change, func() error { return c.Bridge.Reload(c.ctx) }))
}

func directoryTest(c *call) error {
	return c.walk("callbridge directory test", c.Bridge.TestDirectory)
}

func directorySync(c *call) error {
	var d callbridgeapi.Directory
	var err error
	c.watch(func(ctx context.Context) { d, err = c.Bridge.SyncDirectory(ctx) })
	if err := interrupted(c, err); err != nil {
		return err
	}
	if left := directory.LeftOut(d.Unfit, d.Like); left != "" {
		fmt.Fprintln(c.out, "WARNING: "+left+"; give them other names there, or name another attribute with 'callbridge directory user'")
	}
	return c.out.success("%s", count(d.Users, "user"))
}
