package webadmin

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/init/initapi"
	"parley/services/account"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/diagnosis"
	"parley/services/files"
	"parley/services/pki"
	"parley/services/webadmin/webadminapi"
)

const password = "Sommer2026!"

// site is a Webadmin that runs over a state folder and fakes of the services.
type site struct {
	*Server
	t        *testing.T
	paths    config.Paths
	clock    *clock
	store    *config.Store
	control  *webadminapi.Client
	init     *fakeInit
	xmpp     *fakeXMPP
	bridge   *fakeBridge
	events   *fakeEvents
	database *fakeDatabase
	network  *fakeNetwork
	audit    *fakeAudit
	// findings are what a diagnosis comes to.
	findings []diagnosis.Finding
	// address is where it listens; listens are the ports it was told to.
	address chan string
	url     string
}

// newSite returns one that listens, with the users admin, app (appadmin), api,
// crypto, audit, and new, who must change the password.
func newSite(t *testing.T) *site {
	t.Helper()
	s := newClosedSite(t)
	s.configure(func(d *config.Document) { d.Webadmin.Enabled = true })
	s.run()
	s.url = "https://" + <-s.address
	return s
}

// newClosedSite is not enabled, and does not run yet.
func newClosedSite(t *testing.T) *site {
	t.Helper()
	paths := config.FolderPaths(t.TempDir())
	store := config.NewStore(paths.Live())
	s := &site{
		t: t, paths: paths, clock: &clock{now: start}, store: store,
		init:   &fakeInit{status: initapi.Status{Version: "2.2.5", Booted: start.Add(-24*time.Minute - 26*time.Second)}},
		xmpp:   &fakeXMPP{users: map[string]string{"ada": "x"}},
		bridge: &fakeBridge{store: store, status: callbridgeapi.Status{XMPPRow: "connected to localhost (secure) for 1 minute, 2 seconds", AuthenticationRow: "no authentication components found"}},
		events: &fakeEvents{traces: map[string]time.Time{}}, database: &fakeDatabase{status: databaseapi.Status{Mode: databaseapi.Alone}}, network: &fakeNetwork{}, audit: &fakeAudit{}, address: make(chan string, 10),
	}
	accounts := account.NewStore(paths.Accounts(), s.clock.Now)
	root := files.NewStore(files.Config{Dir: paths.Files(), State: paths.State}, files.Deps{})
	check(t, os.MkdirAll(paths.Run, 0o700))
	check(t, root.Prepare())
	attributes, err := pki.ParseAttributes([]string{"CN:cb1.tptac9.com", "subjectAltName:cb1.tptac9.com,127.0.0.1", "keyType:ecdsa-p256"})
	check(t, err)
	_, _, err = pki.SelfSigned(root, files.Who{Name: "admin", Role: account.Admin}, "web", attributes, 365, s.clock.Now())
	check(t, err)
	check(t, os.WriteFile(paths.Accounts(), accountsFile(), 0o600))
	s.Server = New(Config{Socket: paths.Socket("webadmin"), Group: -1}, Deps{
		Config: store, Accounts: accounts, Files: root, Listen: s.listen,
		Init: s.init, XMPP: s.xmpp, CallBridge: s.bridge, Events: s.events, Database: s.database, Network: s.network,
		Diagnose: func(context.Context) []diagnosis.Finding { return s.findings },
		Audit:    s.audit, Log: slog.New(slog.DiscardHandler), Now: s.clock.Now,
	})
	s.control = webadminapi.NewClient(paths.Socket("webadmin"))
	s.configure(func(d *config.Document) {
		d.Hostname = "cb1"
		d.XMPP.Domain = "tptac9.com"
		d.Webadmin = config.Webadmin{Listen: "a", Key: "web.key", Certificate: "web.crt"}
	})
	return s
}

// accountsFile is made once: to hash a password is meant to be slow.
var accountsFile = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "accounts")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "accounts.json")
	store := account.NewStore(path, func() time.Time { return start.Add(-time.Hour) })
	errs := []error{store.SetPassword("admin", password), store.Add("new", account.Admin, password)}
	for name, role := range map[string]account.Role{"app": account.AppAdmin, "api": account.API, "crypto": account.Crypto, "audit": account.Audit} {
		errs = append(errs, store.Add(name, role, "first "+password), store.SetPassword(name, password))
	}
	data, err := os.ReadFile(path)
	if err = errors.Join(append(errs, err)...); err != nil {
		panic(err)
	}
	return data
})

// run runs it until the test ends.
func (s *site) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run = %v; want nil", err)
		}
	})
}

// listen is Deps.Listen: any free port.
func (s *site) listen(ctx context.Context, _ []string, _ int) ([]net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.address <- l.Addr().String()
	return []net.Listener{l}, nil
}

func (s *site) configure(change func(*config.Document)) {
	s.t.Helper()
	check(s.t, s.store.Update(func(d *config.Document) error { change(d); return nil }))
}

func (s *site) document() config.Document {
	s.t.Helper()
	d, err := s.store.Load()
	check(s.t, err)
	return d
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// browser keeps cookies and does not follow redirections.
type browser struct {
	*site
	http *http.Client
	// header is sent with each request.
	header http.Header
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	check(s.t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &browser{site: s, header: http.Header{}, http: &http.Client{
		Transport: transport, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// loggedIn is a browser of a user.
func (s *site) loggedIn(name string) *browser {
	s.t.Helper()
	b := s.browser()
	if got := b.post("/login", "name", name, "password", password); got.status != http.StatusSeeOther {
		s.t.Fatalf("login of %s = %v; want to be let in", name, got)
	}
	s.audit.take()
	return b
}

// response is what came back.
type response struct {
	status int
	body   string
	header http.Header
}

func (r response) location() string { return r.header.Get("Location") }

func (b *browser) do(method, path, body string) response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	check(b.t, err)
	req.Header = b.header.Clone()
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.http.Do(req)
	check(b.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	check(b.t, err)
	return response{resp.StatusCode, string(data), resp.Header}
}

func (b *browser) get(path string) response { return b.do("GET", path, "") }

// post sends a form of names and values.
func (b *browser) post(path string, fields ...string) response {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return b.do("POST", path, form.Encode())
}

var tokenField = regexp.MustCompile(`name="form" value="([^"]+)"`)

// submit is post with the token of a page.
func (b *browser) submit(path string, fields ...string) response {
	b.t.Helper()
	m := tokenField.FindStringSubmatch(b.get("/password").body)
	if m == nil {
		b.t.Fatal("no token on the page")
	}
	return b.post(path, append(fields, "form", m[1])...)
}

var (
	tags  = regexp.MustCompile(`<[^>]*>`)
	blank = regexp.MustCompile(`\s+`)
)

// text is what a person reads of a page's main part.
func (r response) text() string {
	_, body, _ := strings.Cut(r.body, "<main")
	body, _, _ = strings.Cut(body, "</main>")
	plain := strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&amp;", "&", "&lt;", "<", "&gt;", ">", "&#43;", "+").Replace(tags.ReplaceAllString("<main"+body, " "))
	return strings.TrimSpace(blank.ReplaceAllString(plain, " "))
}

// wantText checks status and that texts stand on the page in this order.
func wantText(t *testing.T, r response, status int, texts ...string) {
	t.Helper()
	rest := r.text()
	if r.status != status {
		t.Errorf("status %d; want %d\n%s", r.status, status, rest)
	}
	for _, want := range texts {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("the page has no %q, or not there:\n%s", want, r.text())
		}
		rest = after
	}
}

func (s *site) file(name string) string { return filepath.Join(s.paths.Files(), name) }

// audited checks which commands of a user are in the audit log since it was
// looked at last, and that there is nothing else.
func (s *site) audited(t *testing.T, user string, commands ...string) {
	t.Helper()
	var want []string
	for _, c := range commands {
		want = append(want, user+": "+c+": permission granted")
	}
	if diff := cmp.Diff(want, s.audit.take()); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

// live is live.json.
func (s *site) live() string {
	s.t.Helper()
	data, err := os.ReadFile(s.paths.Live())
	check(s.t, err)
	return string(data)
}
