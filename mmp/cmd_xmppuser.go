package mmp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"parley/services/account"
	"parley/services/problem"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/xmppapi"
)

func chatUserCommands() []command {
	need := account.Configure
	return []command{
		{
			usage: "xmpp user add <name>", args: []arg{localArg}, summary: "add a chat account",
			help:    "Asks twice for a password and makes the account <name>@<domain>. The password itself is not kept, only what checks it (SCRAM).",
			example: "xmpp user add ben", need: need, run: func(c *call) error { return chatPassword(c, false, c.XMPP.AddUser) },
		}, {
			usage: "xmpp user del <name>", args: []arg{chatUserArg}, summary: "delete a chat account",
			help:    "Deletes the account with its roster and the messages that wait for it, and ends its sessions. A user whom the directory has gets a new one at the next log-in or 'callbridge directory sync'.",
			example: "xmpp user del ben", need: need, run: func(c *call) error {
				name := c.text(0)
				list, err := c.XMPP.Users(c.ctx)
				if err != nil {
					return err
				}
				if err := c.XMPP.DelUser(c.ctx, name); err != nil {
					return err
				}
				if slices.ContainsFunc(list, func(u xmppapi.User) bool { return u.Name == name && u.Directory && !u.Left }) {
					return c.out.success("roster and messages of %s are gone; the directory has %s still, so the next log-in or list makes a new account", name, name)
				}
				return c.out.success("")
			},
		}, {
			usage: "xmpp user list", summary: "list chat accounts",
			help:    "Each chat account, the resources with which it is connected now, and how many messages wait for it. Where Call Bridges check passwords, also whose password is kept here and whose the directory has. A user who is no longer in the directory cannot log in; roster and messages wait until the user is there again, or until 'xmpp user del'.",
			example: "xmpp user list", need: need, run: listChatUsers,
		}, {
			usage: "xmpp user passwd <name>", args: []arg{chatUserArg}, summary: "set the password of a chat account",
			help:    "Asks twice for the new password of a chat account. One whose password the directory had has this one from now on, and the directory is not asked any more; that is said first, and 'xmpp user del' with 'callbridge directory sync' takes it back, without roster and messages.",
			example: "xmpp user passwd ben", need: need, run: func(c *call) error { return chatPassword(c, true, c.XMPP.SetPassword) },
		}, {
			usage: "xmpp user import <file>", args: []arg{fileWith(".csv")}, summary: "add chat accounts from a CSV file",
			help: "Adds an account for each line name,password of a file that came by SFTP. Values may be in double quotes; a first line name,password is skipped. A line that is no account, or a name that is there already, is told by its number, and then nothing is imported.\n" +
				"The file holds passwords: remove it with 'rm' afterwards.",
			example: "xmpp user import staff.csv", need: need, run: importUsers,
		},
	}
}

// localArg is the local part of an address, prepared (RFC 7622 §3.3).
var localArg = arg{parse: func(s string) (any, error) { return localPart(s) }}

func localPart(s string) (string, error) {
	l, err := jid.Local(s)
	if err != nil {
		return "", problem.New(problem.UserName, "name", cmp.Or(s, "''"))
	}
	return l, nil
}

var chatUserArg = arg{parse: localArg.parse, complete: func(c *call, _ []string) []string {
	list, err := c.XMPP.Users(c.ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, u := range list {
		names = append(names, u.Name)
	}
	return names
}}

// chatPassword asks for the password of an account that is there, or is not
// yet. The server decides in the end; asking it first spares the prompts.
func chatPassword(c *call, there bool, set func(ctx context.Context, u xmppapi.Credential) error) error {
	name := c.text(0)
	list, err := c.XMPP.Users(c.ctx)
	if err != nil {
		return err
	}
	switch i := slices.IndexFunc(list, func(u xmppapi.User) bool { return u.Name == name }); {
	case i >= 0 && !there:
		return problem.New(problem.UserExists, "name", name)
	case i < 0 && there:
		return problem.New(problem.UserUnknown, "name", name)
	case i >= 0 && list[i].Directory:
		fmt.Fprintf(c.out, "The directory has the password of %s. One that is set here takes its place, and the directory is not asked for %s any more. Ctrl-C leaves it as it is.\n", name, name)
	}
	password, err := c.newPassword("Password of "+name+": ", "Password again: ")
	if err != nil {
		return err
	}
	return c.done(set(c.ctx, xmppapi.Credential{Name: name, Password: password}))
}

func listChatUsers(c *call) error {
	list, err := c.XMPP.Users(c.ctx)
	if err != nil {
		return err
	}
	// password is a column only where there is something to tell apart.
	wide, wideWhose := len("Name"), 0
	for _, u := range list {
		wide = max(wide, len(u.Name))
		if u.Directory {
			wideWhose = max(wideWhose, len(whosePassword(u)))
		}
	}
	password := func(whose string) string {
		if wideWhose == 0 {
			return ""
		}
		return fmt.Sprintf("%-*s  ", wideWhose, whose)
	}
	fmt.Fprintf(c.out, "%-*s  %-8s  %s%s\n", wide, "Name", "Waiting", password("Password"), "Connected")
	for _, u := range list {
		fmt.Fprintf(c.out, "%-*s  %-8d  %s%s\n", wide, u.Name, u.Pending, password(whosePassword(u)), orNone(strings.Join(u.Sessions, ", ")))
	}
	return nil
}

// whosePassword says who has a user's password.
func whosePassword(u xmppapi.User) string {
	switch {
	case u.Left:
		return "no longer in the directory"
	case u.Directory:
		return "directory"
	}
	return "here"
}
