package mmp

import (
	"fmt"

	"parley/services/account"
)

func lsFamily() family {
	return family{name: "ls", about: "list the files that SFTP shows", commands: []command{{
		usage: "ls", summary: "list the files that SFTP shows",
		help:    "Size in bytes, time in UTC and name of each file. A locked key says so. Files come and go by SFTP, with the same name and password as here.",
		example: "ls", need: account.Console, run: list,
	}}}
}

func list(c *call) error {
	files, err := c.Files.List(c.who())
	if err != nil {
		return err
	}
	wide := 0
	for _, f := range files {
		wide = max(wide, len(fmt.Sprint(f.Size)))
	}
	for _, f := range files {
		note := ""
		if f.Locked {
			note = "  (locked)"
		}
		fmt.Fprintf(c.out, "%*d  %s  %s%s\n", wide, f.Size, dateTime(f.Modified), f.Name, note)
	}
	return nil
}

func rmFamily() family {
	return family{name: "rm", about: "remove a file", commands: []command{{
		usage: "rm <file>", args: []arg{fileArg}, summary: "remove a file",
		help:    "Removes a file for good, unless something uses it: a key or certificate that is in use is named with its use.",
		example: "rm old.crt", need: account.Certificates, run: func(c *call) error {
			return c.done(c.Files.Remove(c.who(), c.text(0)))
		},
	}}}
}
