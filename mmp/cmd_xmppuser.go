package mmp

import (
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
				if err := c.XMPP.DelUser(c.ctx, c.text(0)); err != nil {
					return err
				}
				return c.out.success("")
			},
		}, {
			usage: "xmpp user list", summary: "list chat accounts",
			help:    "Each chat account, the resources with which it is connected now, and how many messages wait for it. Where Call Bridges check passwords, also whose password is kept here and whose the directory has.",
			example: "xmpp user list", need: need, run: listChatUsers,
		}, {
			usage: "xmpp user passwd <name>", args: []arg{chatUserArg}, summary: "set the password of a chat account",
			help:    "Asks twice for the new password of a chat account. One whose password the directory had has this one from now on, and the directory is not asked any more.",
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
		return "", problem.New(problem.UserName, "name", s)
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
	switch found := slices.ContainsFunc(list, func(u xmppapi.User) bool { return u.Name == name }); {
	case found && !there:
		return problem.New(problem.UserExists, "name", name)
	case !found && there:
		return problem.New(problem.UserUnknown, "name", name)
	}
	password, err := c.newPassword("Password of "+name+": ", "Password again: ")
	if err != nil {
		return err
	}
	if err := set(c.ctx, xmppapi.Credential{Name: name, Password: password}); err != nil {
		return err
	}
	return c.out.success("")
}

func listChatUsers(c *call) error {
	list, err := c.XMPP.Users(c.ctx)
	if err != nil {
		return err
	}
	wide := len("Name")
	// password is a column only where there is something to tell apart.
	password := func(string) string { return "" }
	for _, u := range list {
		wide = max(wide, len(u.Name))
		if u.Directory {
			password = func(whose string) string { return fmt.Sprintf("%-9s  ", whose) }
		}
	}
	fmt.Fprintf(c.out, "%-*s  %-8s  %s%s\n", wide, "Name", "Waiting", password("Password"), "Connected")
	for _, u := range list {
		whose := "here"
		if u.Directory {
			whose = "directory"
		}
		fmt.Fprintf(c.out, "%-*s  %-8d  %s%s\n", wide, u.Name, u.Pending, password(whose), orNone(strings.Join(u.Sessions, ", ")))
	}
	return nil
}
