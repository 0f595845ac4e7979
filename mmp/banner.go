package mmp

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// bannerTime bounds how long a login waits for services that do not answer.
const bannerTime = 2 * time.Second

// Banner is what is shown before a login on a tty and after one over SSH: what
// this is, how it can be reached, and where its state is. Lines end in \n.
// What cannot be found out is said to be so.
func (c *Console) Banner(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, bannerTime)
	defer cancel()
	var b strings.Builder
	status, err := c.Init.Status(ctx)
	if err != nil {
		fmt.Fprintf(&b, "\nParley on %s\n", c.hostname())
	} else {
		fmt.Fprintf(&b, "\nParley %s on %s\n", status.Version, c.hostname())
	}
	nics, errNet := c.Network.Interfaces(ctx)
	for _, n := range nics {
		link := "link down"
		if n.Up {
			link = "link up"
		}
		addresses := "no address"
		if len(n.Addresses) > 0 {
			texts := make([]string, len(n.Addresses))
			for i, a := range n.Addresses {
				texts[i] = a.String()
			}
			addresses = strings.Join(texts, " ")
		}
		fmt.Fprintf(&b, "Interface %s : %s  %s  %s\n", n.Name, addresses, orNone(n.MAC), link)
	}
	if errNet != nil {
		fmt.Fprintf(&b, "Interfaces  : not known, the network service does not answer\n")
	} else if len(nics) == 0 {
		fmt.Fprintf(&b, "Interfaces  : none, this machine has no network card\n")
	}
	switch {
	case err != nil:
		fmt.Fprintf(&b, "State       : not known, init does not answer\n")
	case status.Volatile:
		fmt.Fprintf(&b, "State       : %s\n\n%s", status.Storage, volatile)
	default:
		fmt.Fprintf(&b, "State       : %s\n", status.Storage)
	}
	return b.String()
}

const volatile = `*** STATE IS IN MEMORY ONLY: all settings, accounts, keys and messages  ***
*** are lost at the next reboot or power cut. Attach a state disk.      ***
`
