package mmp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley/services/account"
	"parley/services/config"
	"parley/services/pki"
)

func pkiFamily() family {
	need := account.Certificates
	return family{name: "pki", about: "keys, signing requests and certificates", commands: []command{
		{
			usage: "pki", summary: "which service uses which file",
			help:    "The key and certificate files that services use.",
			example: "pki", need: account.Console, run: showPKI,
		}, {
			usage: "pki list", summary: "list keys and certificates",
			help:    "The keys, signing requests and certificates among the files. 'ls' lists all files.",
			example: "pki list", need: account.Console, run: listPKI,
		}, {
			usage: "pki csr <basename> <attribute>...", args: []arg{textArg, attributeArg}, summary: "make a key and a signing request",
			help: "Makes <basename>.key and <basename>.csr. Fetch the .csr by SFTP, have a certificate authority sign it, and put the certificate back the same way.\n" +
				"Attributes are CN:<name>, which is required and should be the XMPP domain, and OU: O: L: ST: C: emailAddress: subjectAltName:<name>,<name> keyType:<type>. The subject alternative names should hold the domain and each node's full name. Put a value with blanks in double quotes.\n" +
				"Key types are " + strings.Join(pki.KeyTypes, ", ") + "; the first is the default.",
			example: "pki csr abhiall CN:tptac9.com subjectAltName:cb1.tptac9.com,cb2.tptac9.com,cb3.tptac9.com", need: need, run: csr,
		}, {
			usage: "pki selfsigned <basename> [<attribute>...]", args: []arg{textArg, attributeArg}, summary: "make a key and a certificate of its own",
			help:    "Makes <basename>.key and <basename>.crt, valid two years, for a lab: clients do not know who signed it. Attributes are those of 'pki csr'; without CN: it names the XMPP domain and this host.",
			example: "pki selfsigned lab CN:tptac9.com", need: need, run: selfSigned,
		}, {
			usage: "pki sign <csr> <ca-key> <ca-certificate> [<days>]", args: []arg{fileWith(".csr"), keyArg, certificateArg, number(1, pki.MaxDays, 365)},
			summary: "sign a request with a CA kept here",
			help:    "Signs a request with a certificate authority whose key and certificate are files here, such as those of 'pki selfsigned', and writes <name of the request>.crt. Valid two years unless days are given, and no longer than the authority's own.",
			example: "pki sign abhiall.csr ca.key ca.crt 365", need: need, run: sign,
		}, {
			usage: "pki inspect <file>", args: []arg{fileWith(".crt", ".cer", ".pem", ".csr", ".key")}, summary: "tell what is in a file",
			help:    "Subject, issuer, validity, names and fingerprints of each certificate in the file, or what a request asks for. Of a key it tells the type and the fingerprint of its public part.",
			example: "pki inspect abhiall.cer", need: account.Console, run: inspect,
		}, {
			usage: "pki match <key> <certificate>", args: []arg{keyArg, fileWith(".crt", ".cer", ".pem", ".csr")}, summary: "do key and certificate belong together",
			help:    "Says whether the certificate, or the request, is for this key. If not, it names the key that it is for, if that is here.",
			example: "pki match abhiall.key abhiall.cer", need: account.Console, run: func(c *call) error {
				if err := pki.Match(c.Files, c.text(0), c.text(1)); err != nil {
					return err
				}
				return c.out.success("%s and %s belong together", c.text(0), c.text(1))
			},
		}, {
			usage: "pki verify <certificate> <bundle> [<ca>]", args: []arg{certificateArg, certificateArg, certificateArg}, summary: "does the chain lead to a root",
			help:    "Says whether the certificate was signed by one in the bundle, and that by another up to a root in the bundle or in the third file, and whether all are valid now.",
			example: "pki verify abhiall.cer certall.cer", need: account.Console, run: verify,
		}, {
			usage: "pki lock <key>", args: []arg{keyArg}, summary: "make a key unreadable for good",
			help:    "The key can no longer be fetched, replaced or renamed, by anybody; services still use it, and 'rm' removes it. Copy it to other nodes first if they share it. This cannot be taken back.",
			example: "pki lock abhiall.key", need: need, run: func(c *call) error {
				if err := c.Files.Lock(c.who(), c.text(0)); err != nil {
					return err
				}
				return c.out.success("%s cannot be fetched any more", c.text(0))
			},
		},
	}}
}

var attributeArg = arg{parse: anyText, complete: func(*call, []string) []string {
	names := slices.Clone(pki.AttributeNames)
	for i := range names {
		names[i] += ":"
	}
	return names
}}

func showPKI(c *call) error {
	d, err := c.config.Load()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, "XMPP server:")
	rows := []row{{"Key file", d.XMPP.Key}, {"Certificate file", d.XMPP.Certificate}, {"CA Bundle file", d.XMPP.Bundle}}
	if d.XMPP.Cluster.Trust != "" {
		rows = append(rows, row{"Trust bundle", d.XMPP.Cluster.Trust})
	}
	c.out.rows(rows...)
	if b := d.CallBridge; b.Key != "" || b.Trust != "" {
		fmt.Fprintln(c.out, "Call Bridge:")
		c.out.rows(row{"Key file", b.Key}, row{"Certificate file", b.Certificate}, row{"CA Bundle file", b.Bundle}, row{"XMPP trust bundle", b.Trust})
	}
	if w := d.Webadmin; w.Key != "" {
		fmt.Fprintln(c.out, "Webadmin:")
		c.out.rows(row{"Key file", w.Key}, row{"Certificate file", w.Certificate}, row{"CA Bundle file", w.Bundle})
	}
	if db := d.Database; db.ClientKey != "" {
		fmt.Fprintln(c.out, "Database:")
		c.out.rows(row{"Server Key", db.ServerKey}, row{"Server Certificate", db.ServerCertificate},
			row{"Client Key", db.ClientKey}, row{"Client Certificate", db.ClientCertificate}, row{"CA Certificate", db.CA})
	}
	return nil
}

func listPKI(c *call) error {
	list, err := pki.List(c.Files)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, "User supplied certificates and keys:")
	for _, e := range list {
		fmt.Fprintln(c.out, e.Name)
	}
	return nil
}

// attributes are the words from i on. A list of names may have blanks after
// its commas: its words are then put together again.
func (c *call) attributes(i int) []string {
	var out []string
	for ; i < len(c.values); i++ {
		w := c.text(i)
		if n := len(out) - 1; n >= 0 && (strings.HasSuffix(out[n], ",") || strings.HasPrefix(w, ",")) {
			out[n] += w
		} else {
			out = append(out, w)
		}
	}
	for i, w := range out {
		name, value, _ := strings.Cut(w, ":")
		if n := strings.ToLower(name); n != "subjectaltname" && n != "subaltname" {
			continue
		}
		entries := strings.Split(value, ",")
		for j := range entries {
			entries[j] = strings.TrimSpace(entries[j])
		}
		out[i] = name + ":" + strings.Join(entries, ",")
	}
	return out
}

func csr(c *call) error {
	a, err := pki.ParseAttributes(c.attributes(1))
	if err != nil {
		return err
	}
	key, request, err := pki.CSR(c.Files, c.who(), c.text(0), a)
	if err != nil {
		return err
	}
	return c.out.success("created %s and %s; fetch %s by SFTP and have it signed", key, request, request)
}

func selfSigned(c *call) error {
	attributes := c.attributes(1)
	named := func(a string) bool { return strings.HasPrefix(strings.ToUpper(a), "CN:") }
	if !slices.ContainsFunc(attributes, named) {
		d, err := c.config.Load()
		if err != nil {
			return err
		}
		switch domain := d.XMPP.Domain; {
		case domain == "":
			attributes = append(attributes, "CN:"+d.Hostname)
		case strings.Contains(d.Hostname, "."):
			attributes = append(attributes, "CN:"+domain, "subjectAltName:"+d.Hostname)
		default:
			attributes = append(attributes, "CN:"+domain, "subjectAltName:"+d.Hostname+"."+domain)
		}
	}
	a, err := pki.ParseAttributes(attributes)
	if err != nil {
		return err
	}
	key, cert, err := pki.SelfSigned(c.Files, c.who(), c.text(0), a, pki.DefaultDays, c.Now())
	if err != nil {
		return err
	}
	return c.out.success("created %s and %s", key, cert)
}

func sign(c *call) error {
	days := pki.DefaultDays
	if len(c.values) > 3 {
		days = value[int](c, 3)
	}
	cert, err := pki.Sign(c.Files, c.who(), c.text(0), c.text(1), c.text(2), days, c.Now())
	if err != nil {
		return err
	}
	return c.out.success("created %s", cert)
}

func inspect(c *call) error {
	lines, err := pki.Inspect(c.Files, c.text(0), c.Now())
	for _, l := range lines {
		fmt.Fprintln(c.out, l)
	}
	return err
}

func verify(c *call) error {
	bundles := []string{c.text(1)}
	if ca := c.text(2); ca != "" {
		bundles = append(bundles, ca)
	}
	way, err := pki.Verify(c.Files, c.text(0), bundles, c.Now())
	if err != nil {
		return err
	}
	return c.out.success("%s", strings.Join(way, ", signed by "))
}

// checkCerts checks the files that d's XMPP server is to use, if any. Warnings
// wait for success.
func (c *call) checkCerts(d *config.Document) error {
	x := d.XMPP
	if x.Key == "" {
		return nil
	}
	report, err := pki.Check(c.Files, x.Key, x.Certificate, x.Bundle, x.Domain, d.Hostname, c.Now())
	if err = errors.Join(err, report.Err()); err != nil {
		return err
	}
	for _, w := range report.Warnings {
		c.out.warn(w)
	}
	return nil
}
