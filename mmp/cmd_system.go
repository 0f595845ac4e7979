package mmp

import (
	"fmt"
	"time"

	"parley/services/account"
	"parley/services/config"
)

func hostnameFamily() family {
	return family{name: "hostname", about: "the name of this node", commands: []command{
		{
			usage: "hostname", summary: "show the name of this node",
			help:    "The name of this node, as it is in the prompt and in the audit log.",
			example: "hostname", need: account.Console, run: func(c *call) error {
				d, err := c.config.Load()
				if err == nil {
					fmt.Fprintln(c.out, d.Hostname)
				}
				return err
			},
		}, {
			usage: "hostname <name>", args: []arg{textArg}, summary: "set the name of this node",
			help:    "The new name takes effect at once; no reboot is needed. A name of several labels is the node's full name in the DNS: the prompt has its first label.",
			example: "hostname cb1", need: account.Configure, run: func(c *call) error {
				return c.change(func(d *config.Document) error { d.Hostname = c.text(0); return nil })
			},
		},
	}}
}

func versionFamily() family {
	return family{name: "version", about: "what software this is", commands: []command{{
		usage: "version", summary: "what software this is",
		help:    "The version of Parley, the kernel that it runs on, and where its state is kept.",
		example: "version", need: account.Console, run: func(c *call) error {
			s, err := c.Init.Status(c.ctx)
			if err != nil {
				return err
			}
			c.out.rows(row{"Version", s.Version}, row{"Kernel", s.Kernel}, row{"State", s.Storage})
			return nil
		},
	}}}
}

func uptimeFamily() family {
	return family{name: "uptime", about: "how long it has been up, and its services", commands: []command{{
		usage: "uptime", summary: "how long it has been up, and its services",
		help:    "How long ago this node started, and for each service since when it runs, how often it ended unasked, and why it did so last.",
		example: "uptime", need: account.Console, run: uptime,
	}}}
}

func uptime(c *call) error {
	s, err := c.Init.Status(c.ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, duration(c.Now().Sub(s.Booted)))
	rows := make([]row, 0, len(s.Services))
	for _, v := range s.Services {
		state := "not running"
		if v.Running {
			state = "running for " + duration(c.Now().Sub(v.Since))
		} else if v.NextStart.After(c.Now()) {
			state += ", tried again in " + duration(v.NextStart.Sub(c.Now()))
		}
		if v.Restarts > 0 {
			state += fmt.Sprintf(", %s, the last after: %s", count(v.Restarts, "restart"), v.LastExit)
		}
		rows = append(rows, row{v.Name, state})
	}
	c.out.rows(rows...)
	return nil
}

// duration is written as the original does: "24 minutes, 26 seconds".
func duration(d time.Duration) string {
	total := int64(max(0, d) / time.Second)
	text := ""
	for _, u := range []struct {
		name    string
		seconds int64
	}{{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}} {
		n := total / u.seconds
		total %= u.seconds
		if text == "" && n == 0 && u.seconds > 1 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += count(int(n), u.name)
	}
	return text
}

// count is "1 line", "2 lines".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func dateFamily() family {
	return family{name: "date", about: "time in UTC and here", commands: []command{{
		usage: "date", summary: "time in UTC and here",
		help:    "The clock of this node in UTC, which logs and certificates use, and in its time zone.",
		example: "date", need: account.Console, run: func(c *call) error {
			now := c.Now()
			c.out.rows(row{"UTC", dateTime(now)}, row{"Local", now.Local().Format("2006-Jan-02 15:04:05 MST")})
			return nil
		},
	}}}
}

func rebootFamily() family {
	return family{name: "reboot", about: "stop everything in order and start again", commands: []command{{
		usage: "reboot", summary: "stop everything in order and start again",
		help:    "Asks for a capital Y, then stops all services in order and starts the machine again. Chat clients connect again by themselves.",
		example: "reboot", need: account.Configure, run: func(c *call) error {
			if err := c.confirm("This stops XMPP and all sessions, and starts the machine again."); err != nil {
				return err
			}
			if err := c.Init.Reboot(c.ctx); err != nil {
				return err
			}
			c.end = true
			return c.out.success("rebooting")
		},
	}}}
}

func shutdownFamily() family {
	return family{name: "shutdown", about: "stop everything in order and power off", commands: []command{{
		usage: "shutdown", summary: "stop everything in order and power off",
		help:    "Asks for a capital Y, then stops all services in order and switches the machine off. It takes its power button to start again.",
		example: "shutdown", need: account.Configure, run: func(c *call) error {
			if err := c.confirm("This stops XMPP and all sessions, and switches the machine off."); err != nil {
				return err
			}
			if err := c.Init.Poweroff(c.ctx); err != nil {
				return err
			}
			c.end = true
			return c.out.success("shutting down")
		},
	}}}
}

func exitFamily() family   { return endFamily("exit") }
func logoutFamily() family { return endFamily("logout") }

func endFamily(name string) family {
	return family{name: name, about: "end this session, as Ctrl-D does", commands: []command{{
		usage: name, summary: "end this session, as Ctrl-D does",
		help:    "Ends this session. Nothing that was set is lost.",
		example: name, need: account.Console, run: func(c *call) error { c.end = true; return nil },
	}}}
}
