package node_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/services/callbridge/directory/openldap"
	"parley/services/config"
	"parley/services/diagnosis"
)

// deployment is a cluster of three in which nothing is wrong: with records in
// the DNS of each node, and with a Call Bridge on each.
type deployment struct {
	*cluster
	first, second, third *program
	// secrets are those of the Call Bridges, by name.
	secrets map[string]string
	// machines are the nodes' own, where they have such.
	machines *machines
	// ldap is nobody's until withDirectory.
	ldap *openldap.Server
}

// mistake is made on a deployment, and mended by what diagnose says of it.
type mistake struct {
	name string
	make func(d *deployment)
	// what is found of it, and how the command begins that mends it; where that
	// is none of the console's, advice is what is to be done.
	what, command, advice string
	// from is the node on which one diagnoses, the first where it is nil.
	from func(d *deployment) *program
	// hand does what the advice says to do beside the console. Where the
	// advice gives the choice between that and the commands, they are left.
	hand func(d *deployment)
	// words are what stands for the <words> of the commands.
	words map[string]string
	// spare is what serves where one more node is asked for.
	spare func(d *deployment) *program
	// after takes back what is not as it was before, and is well.
	after func(d *deployment)
}

// newDeployment sets it up through the console.
func newDeployment(t *testing.T) *deployment {
	t.Helper()
	c, secrets := newCluster(t, 3)
	return deploy(c, secrets)
}

// deploy is newDeployment of three members.
func deploy(c *cluster, secrets []string) *deployment {
	t := c.t
	t.Helper()
	ldap := openldap.Start(t, openldap.Config{LDIF: ldapPeople, Names: "IP:127.0.0.1"})
	d := &deployment{cluster: c, ldap: ldap, first: c.nodes[0], second: c.nodes[1], third: c.nodes[2]}
	d.secrets = map[string]string{"cb1": secrets[0], "cb2": secrets[1], "cb3": d.first.register("cb3")}
	for i, p := range c.nodes {
		// A renewed certificate is trusted by its authority.
		p.mmp("xmpp", "cluster", "trust", "certall.cer")
		for i := range c.nodes {
			p.mmp("dns", "add", "rr", hostName(i)+". 86400 IN A "+c.nodes[i].address)
			p.mmp("dns", "add", "rr", record("component", 5223, hostName(i)))
			p.mmp("dns", "add", "rr", record("client", 5222, hostName(i)))
		}
		name := "cb" + strconv.Itoa(i+1)
		p.mmp("callbridge", "xmpp", "name", name)
		p.mmp("callbridge", "xmpp", "domain", domain)
		p.mmp("callbridge", "trust", "certall.cer")
		p.mmpWith(d.secrets[name]+"\n", "callbridge", "xmpp", "secret")
		p.mmp("callbridge", "enable")
	}
	return d
}

// hostName is the full name of a node.
func hostName(i int) string { return "cb" + strconv.Itoa(i+1) + "." + domain }

// record is an SRV record.
func record(service string, port int, name string) string {
	return fmt.Sprintf("_xmpp-%s._tcp.%s. 86400 IN SRV 0 0 %d %s.", service, domain, port, name)
}

// diagnoseLimit is what 'xmpp diagnose' may take, whatever does not answer.
const diagnoseLimit = 10 * time.Second

// faults are the findings of a node that are not of the test's own short ways:
// openssl's certificates are for less than 30 days.
func (d *deployment) faults(p *program) (found []diagnosis.Finding) {
	machine := diagnosis.Machine(config.FolderPaths(p.state))
	machine.Dial = p.dial
	begun := time.Now()
	all := diagnosis.New(machine).Run(d.t.Context())
	if took := time.Since(begun); took > diagnoseLimit {
		d.t.Errorf("the diagnosis took %v; want less than %v", took, diagnoseLimit)
	}
	for _, f := range all {
		if f.Level != diagnosis.OK && !strings.Contains(f.Detail, "expires in") {
			found = append(found, f)
		}
	}
	return found
}

// awaitWell waits until a node has nothing to say against the deployment.
func (d *deployment) awaitWell(p *program, what string) {
	d.t.Helper()
	await(d.t, what, func(context.Context) error {
		if found := d.faults(p); len(found) > 0 {
			return errors.New(texts(found))
		}
		return nil
	})
}

func texts(found []diagnosis.Finding) string {
	var all []string
	for _, f := range found {
		all = append(all, f.Text())
	}
	return strings.Join(all, "\n")
}

// at is the node of an address, or otherwise.
func (d *deployment) at(address string, otherwise *program) *program {
	if i := slices.IndexFunc(d.nodes, func(p *program) bool { return p.address == address }); i >= 0 {
		return d.nodes[i]
	}
	return otherwise
}

// mostRounds is how often one diagnoses until a mistake is mended with all that
// came of it.
const mostRounds = 6

// TestDiagnoseMends makes each mistake of the table on one deployment, and does
// with it what the end of 'xmpp diagnose' says: type the commands of the first
// line that has failed, and diagnose again, until all is well.
func TestDiagnoseMends(t *testing.T) {
	d := newDeployment(t)
	d.awaitWell(d.first, "before any mistake")
	all := slices.Concat(recordMistakes, certificateMistakes, trustMistakes, serviceMistakes, bridgeMistakes, memberMistakes, directoryMistakes)
	if len(all) < 30 {
		t.Errorf("%d mistakes; want 30 at least", len(all))
	}
	d.mendAll(all)
}

// mendAll makes one mistake after the other, each a test of its own.
func (d *deployment) mendAll(all []mistake) {
	for _, m := range all {
		if d.t.Failed() {
			return
		}
		d.t.Run(m.name, func(t *testing.T) {
			inner := *d
			c := *d.cluster
			c.t, inner.cluster = t, &c
			for _, p := range c.nodes {
				p.t = t
			}
			defer func() {
				for _, p := range c.nodes {
					p.t = d.t
				}
			}()
			inner.mend(m)
		})
	}
}

// mend makes the mistake and has it mended.
func (d *deployment) mend(m mistake) {
	d.t.Helper()
	from := d.first
	if m.from != nil {
		from = m.from(d)
	}
	m.make(d)
	var found []diagnosis.Finding
	var cause diagnosis.Finding
	await(d.t, "it is found", func(context.Context) error {
		found = d.faults(from)
		i := slices.IndexFunc(found, func(f diagnosis.Finding) bool { return strings.Contains(f.Text(), m.what) })
		if i < 0 {
			return fmt.Errorf("want %q in\n%s", m.what, texts(found))
		}
		cause = found[i]
		return nil
	})
	if m.command != "" && !slices.ContainsFunc(cause.Commands, func(c string) bool { return strings.HasPrefix(c, m.command) }) {
		d.t.Errorf("%s\nwant the command %q", cause.Text(), m.command)
	}
	if !strings.Contains(cause.Advice, m.advice) {
		d.t.Errorf("%s\nwant the advice %q", cause.Text(), m.advice)
	}
	for round := 1; len(found) > 0; round++ {
		if round > mostRounds {
			d.t.Fatalf("after %d rounds there is still\n%s", mostRounds, texts(found))
		}
		next := first(found)
		d.t.Logf("%s round %d: %s", time.Now().Format("15:04:05.000"), round, next.Text())
		d.follow(m, cause, next, from)
		await(d.t, "mended: "+next.Text(), func(context.Context) error {
			found = d.faults(from)
			if slices.ContainsFunc(found, func(f diagnosis.Finding) bool {
				return f.Node == next.Node && f.What == next.What && f.Detail == next.Detail
			}) {
				return errors.New("it is not")
			}
			return nil
		})
	}
	if m.after != nil {
		m.after(d)
	}
	for _, p := range d.nodes {
		d.awaitWell(p, "all is well on "+p.address)
	}
}

// first is the finding that is to be mended first.
func first(found []diagnosis.Finding) diagnosis.Finding {
	if i := slices.IndexFunc(found, func(f diagnosis.Finding) bool { return f.Level == diagnosis.Fail }); i >= 0 {
		return found[i]
	}
	return found[0]
}

// follow does what finding f says, which may be the mistake's cause or come of it.
func (d *deployment) follow(m mistake, cause, f diagnosis.Finding, from *program) {
	d.t.Helper()
	if m.hand != nil && (f.What == cause.What || f.Advice == cause.Advice) {
		m.hand(d)
		if strings.HasSuffix(f.Advice, ",") {
			return
		}
	}
	if f.Advice == "on one more node," && m.spare != nil {
		from = m.spare(d)
	}
	removes := func(command string) bool { return strings.HasPrefix(command, "xmpp cluster remove") }
	if slices.ContainsFunc(f.Commands, removes) && !removes(m.command) {
		// One that is only being restarted comes back.
		return
	}
	for _, where := range append([]string{f.Node}, f.Also...) {
		for _, command := range f.Commands {
			for word, by := range m.words {
				command = strings.ReplaceAll(command, word, by)
			}
			d.enter(d.at(where, from), command)
		}
	}
}

// enter types one command, its prompts' answers, and what is done with what it
// has made.
func (d *deployment) enter(p *program, command string) {
	d.t.Helper()
	answer := ""
	switch name, registers := strings.CutPrefix(command, "xmpp callbridge add-secret "); {
	case registers:
		answer = d.secrets[name] + "\n"
	case command == "callbridge xmpp secret":
		answer = p.secrets()["cb"+strconv.Itoa(slices.Index(d.nodes, p)+1)] + "\n"
	case command == "callbridge directory password":
		answer = openldap.ReaderSecret + "\n"
	case strings.HasSuffix(command, "<first node>"):
		command = strings.ReplaceAll(command, "<first node>", d.first.address)
	case strings.HasSuffix(command, ".key <certificate> <bundle>"):
		// The request of the command before is signed by now.
		base := strings.TrimPrefix(strings.TrimSuffix(command, ".key <certificate> <bundle>"), "xmpp certs ")
		d.sign(p, base)
		command = strings.ReplaceAll(command, "<certificate> <bundle>", base+".cer certall.cer")
	}
	if command == "callbridge test" || command == "callbridge directory test" {
		// They are no remedies, and say no while a bridge has to try again.
		p.try("", command)
		return
	}
	// A command that was refused has changed nothing.
	c := change{p: p, stdin: answer, words: strings.Fields(command)}
	await(d.t, command, func(context.Context) error {
		if out, err := c.try(); err != nil {
			return errors.New(out)
		}
		return nil
	})
}

// request makes a key and has its certificate signed, with these attributes.
func (d *deployment) request(p *program, base string, attributes ...string) {
	d.t.Helper()
	p.mmp(append([]string{"pki", "csr", base}, attributes...)...)
	d.sign(p, base)
}

// sign puts the certificate that a request asks for.
func (d *deployment) sign(p *program, base string) {
	d.t.Helper()
	d.ca.Sign(p.file(base+".csr"), d.file(base+".cer"))
	p.put(d.file(base + ".cer"))
}

// certify puts the deployment's certificate, renewed.
func (d *deployment) certify(p *program) {
	d.t.Helper()
	d.ca.Sign(d.first.file("abhiall.csr"), d.file("abhiall.cer"))
	p.put(d.file("abhiall.cer"))
}

// write is a file of that name for the operator to put.
func (d *deployment) write(name, content string) string {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// copyOf is a file with another name.
func (d *deployment) copyOf(path, name string) string {
	d.t.Helper()
	to := filepath.Join(d.t.TempDir(), name)
	copyFile(d.t, path, to)
	return to
}

// overwrite replaces a file in a node's folder, as a restored backup does: the
// node itself refuses to have a key that is in use replaced.
func (d *deployment) overwrite(p *program, name, by string) {
	d.t.Helper()
	copyFile(d.t, by, p.file(name))
}

// lose takes a file from a node's folder, which refuses that too.
func (d *deployment) lose(p *program, name string) {
	d.t.Helper()
	if err := os.Remove(p.file(name)); err != nil {
		d.t.Fatal(err)
	}
}

// chain gives XMPP a bundle that is good, and then one of these certificates in
// its place.
func (d *deployment) chain(p *program, certificates ...string) {
	d.t.Helper()
	p.put(d.copyOf(d.root, "chain.cer"))
	p.mmp("xmpp", "certs", "abhiall.key", "abhiall.cer", "chain.cer")
	bad := filepath.Join(d.t.TempDir(), "chain.cer")
	concatenate(d.t, bad, certificates...)
	p.put(bad)
}

// trustBy has a node trust the others by a file of its own.
func (d *deployment) trustBy(p *program, bundle string) {
	d.t.Helper()
	p.put(d.copyOf(bundle, "trust.crt"))
	p.mmp("xmpp", "cluster", "trust", "trust.crt")
}

// stranger is the certificate of an authority that nobody here knows.
func (d *deployment) stranger() string {
	return d.write("stranger.cer", string(d.selfSigned(func(c *x509.Certificate) { c.Subject.CommonName = "Stranger" }, nil)))
}

// expired is a certificate for a node's key that has expired.
func (d *deployment) expired(name string, p *program) string {
	d.t.Helper()
	data, err := os.ReadFile(p.file("abhiall.key"))
	if err != nil {
		d.t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		d.t.Fatalf("no key:\n%s", data)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.write(name, string(d.selfSigned(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(-1, 0, 0), time.Now().AddDate(0, 0, -1)
	}, key.(crypto.Signer))))
}

// selfSigned is a certificate of the domain, changed, for a key or a new one.
func (d *deployment) selfSigned(change func(*x509.Certificate), key crypto.Signer) []byte {
	d.t.Helper()
	if key == nil {
		_, made, err := ed25519.GenerateKey(nil)
		if err != nil {
			d.t.Fatal(err)
		}
		key = made
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: domain}, DNSNames: []string{domain}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		d.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
