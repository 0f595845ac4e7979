package mmp

import (
	"fmt"
	"strconv"
	"strings"

	"parley/services/account"
	"parley/services/problem"
)

func userFamily() family {
	need := account.Configure
	return family{name: "user", about: "accounts of this appliance, their roles and SSH keys", commands: []command{
		{
			usage: "user add <name> <role>", args: []arg{newUserArg, roleArg}, summary: "add a user",
			help: "Asks twice for a password, which the user must change at the first login. Roles are: admin, everything; crypto, keys and certificates; audit, the logs; appadmin, Webadmin only; api, the REST API only.\n" +
				"These users administer the appliance. People who chat have accounts of their own: see 'help xmpp user'.",
			example: "user add ben admin", need: need, run: addUser,
		}, {
			usage: "user del <name>", args: []arg{userArg}, summary: "delete a user",
			help:    "Deletes a user; the user's sessions end with their next command. The last user of role admin cannot be deleted, nor can you delete yourself.",
			example: "user del ben", need: need, run: func(c *call) error {
				return c.done(c.Accounts.Del(c.user.Name, c.text(0)))
			},
		}, {
			usage: "user list", summary: "list users",
			help:    "All users with their role, their last login, and whether they are locked out.",
			example: "user list", need: need, run: listUsers,
		}, {
			usage: "user info <name>", args: []arg{userArg}, summary: "tell about one user",
			help:    "Role, last login and from where, failed logins since, when the password was set and whether it must be changed, and whether the user is locked out.",
			example: "user info admin", need: need, run: userInfo,
		}, {
			usage: "user unlock <name>", args: []arg{userArg}, summary: "end a lockout",
			help:    "Lets a user log in again who was locked out after " + strconv.Itoa(account.MaxFailures) + " failed logins. A lockout ends by itself after 15 minutes.",
			example: "user unlock ben", need: need, run: func(c *call) error {
				return c.done(c.Accounts.Unlock(c.text(0)))
			},
		}, {
			usage: "user key add <name> <file>", args: []arg{userArg, fileWith(".pub")}, summary: "let a user log in with an SSH key",
			help:    "Takes the public key in a file that was uploaded (one line as in OpenSSH's .pub files, or as PuTTYgen saves it). The user then logs in without a password. The file may be removed afterwards.",
			example: "user key add ben ben.pub", need: need, run: addKey,
		}, {
			usage: "user key list <name>", args: []arg{userArg}, summary: "list a user's SSH keys",
			help:    "Type, fingerprint and comment of each public key.",
			example: "user key list ben", need: need, run: listKeys,
		}, {
			usage: "user key del <name> <key>", args: []arg{userArg, sshKeyArg}, summary: "remove an SSH key of a user",
			help:    "Removes the public key of that fingerprint or comment, as 'user key list' shows them.",
			example: "user key del ben ben@laptop", need: need, run: func(c *call) error {
				return c.done(c.Accounts.DelKey(c.text(0), c.text(1)))
			},
		},
	}}
}

var newUserArg = textArg

var roleArg = arg{
	parse: func(s string) (any, error) { return account.ParseRole(s) },
	complete: func(*call, []string) []string {
		var names []string
		for _, r := range account.Roles() {
			names = append(names, string(r))
		}
		return names
	},
}

var sshKeyArg = arg{parse: anyText, complete: func(c *call, before []string) []string {
	keys, err := c.Accounts.ListKeys(before[3])
	if err != nil {
		return nil
	}
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.Fingerprint)
	}
	return ids
}}

func addUser(c *call) error {
	name, role := c.text(0), value[account.Role](c, 1)
	if err := c.Accounts.CheckNew(name); err != nil {
		return err
	}
	password, err := c.newPassword("Password of "+name+": ", "Password again: ")
	if err != nil {
		return err
	}
	if err := c.Accounts.Add(name, role, password); err != nil {
		return err
	}
	if role == account.API {
		return c.out.success("")
	}
	return c.out.success("%s must set a new password at the first login", name)
}

func listUsers(c *call) error {
	list, err := c.Accounts.List()
	if err != nil {
		return err
	}
	wide := len("Name")
	for _, u := range list {
		wide = max(wide, len(u.Name))
	}
	fmt.Fprintf(c.out, "%-*s  %-8s  %-20s  %s\n", wide, "Name", "Role", "Last login", "State")
	for _, u := range list {
		state := "enabled"
		switch {
		case !u.LockedUntil.IsZero():
			state = "locked until " + u.LockedUntil.UTC().Format("15:04:05")
		case u.MustChange:
			state = "must change the password"
		}
		fmt.Fprintf(c.out, "%-*s  %-8s  %-20s  %s\n", wide, u.Name, u.Role, dateTime(u.LastLogin), state)
	}
	return nil
}

func userInfo(c *call) error {
	u, err := c.Accounts.Info(c.text(0))
	if err != nil {
		return err
	}
	c.out.rows(
		row{"Name", u.Name}, row{"Role", string(u.Role)}, row{"Created", dateTime(u.Created)},
		row{"Last login", dateTime(u.LastLogin)}, row{"Last login from", u.LastSource},
		row{"Failed logins since", strconv.Itoa(u.FailedSince)}, row{"Password set", dateTime(u.Changed)},
		row{"Must change password", strconv.FormatBool(u.MustChange)},
		row{"Locked", strconv.FormatBool(!u.LockedUntil.IsZero())}, row{"Locked until", dateTime(u.LockedUntil)},
		row{"SSH keys", strconv.Itoa(u.Keys)},
	)
	return nil
}

func addKey(c *call) error {
	name, file := c.text(0), c.text(1)
	if _, err := c.Accounts.Lookup(name); err != nil {
		return err
	}
	data, err := c.Files.Read(file)
	if err != nil {
		return err
	}
	k, err := c.Accounts.AddKey(name, string(data))
	if err != nil {
		return err
	}
	return c.out.success("%s %s", k.Fingerprint, k.Comment)
}

func listKeys(c *call) error {
	keys, err := c.Accounts.ListKeys(c.text(0))
	if err != nil {
		return err
	}
	for _, k := range keys {
		fmt.Fprintln(c.out, strings.TrimSpace(k.Type+" "+k.Fingerprint+" "+k.Comment))
	}
	if len(keys) == 0 {
		fmt.Fprintln(c.out, "none")
	}
	return nil
}

func passwdFamily() family {
	return family{name: "passwd", about: "change a password", commands: []command{
		{
			usage: "passwd", summary: "change your password",
			help:    "Asks for your password and twice for the new one, which is not shown: 8 characters at least, and not your name.",
			example: "passwd", need: account.Console, run: ownPassword,
		}, {
			usage: "passwd <name>", args: []arg{userArg}, summary: "set another user's password",
			help:    "Asks twice for a new password of another user, who must change it at the next login. It ends a lockout as well. People who chat have passwords of their own: see 'help xmpp user passwd'.",
			example: "passwd ben", need: account.Configure, run: otherPassword,
		},
	}}
}

// ownPassword asks for the old one first: a terminal left alone must not be
// enough to take an account over. Who is at the machine itself, with the
// program that runs the node, has proved no password and is asked for none.
func ownPassword(c *call) error {
	if c.source != Local {
		old, err := c.secret("Current password: ", "current password")
		if err != nil {
			return err
		}
		if _, err := c.Accounts.Authenticate(c.user.Name, old, c.source); problem.CodeOf(err) == problem.AccountDenied {
			return problem.New(problem.PasswordWrong)
		} else if err != nil {
			return err
		}
	}
	password, err := c.newPassword("New password: ", "New password again: ")
	if err != nil {
		return err
	}
	if err := c.Accounts.SetPassword(c.user.Name, password); err != nil {
		return err
	}
	return c.out.success("the password is changed")
}

func otherPassword(c *call) error {
	name := c.text(0)
	if name == c.user.Name {
		return ownPassword(c)
	}
	if _, err := c.Accounts.Lookup(name); err != nil {
		return err
	}
	password, err := c.newPassword("New password of "+name+": ", "New password again: ")
	if err != nil {
		return err
	}
	if err := c.Accounts.ResetPassword(name, password); err != nil {
		return err
	}
	return c.out.success("%s must change it at the next login", name)
}
