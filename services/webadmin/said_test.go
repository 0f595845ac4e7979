package webadmin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/services/diagnosis"
	"parley/services/phrase/phrasetest"
	"parley/services/problem"
)

// TestServicesAreSaidInGerman: what the services write for people is part of a
// sentence that has German.
func TestServicesAreSaidInGerman(t *testing.T) {
	tables := []map[string]string{problem.German(), diagnosis.Sentences(), saidRows, saidFaults, saidLink}
	for _, tt := range []struct {
		what  string
		files []string
		// skip are commands, lines of the event log, and what a program reads.
		skip string
	}{
		{"faults", []string{
			"../eventlog/watch/watch.go", "../eventlog/watch/certificate.go", "../eventlog/watch/cluster.go", "../eventlog/watch/disk.go",
			"../eventlog/watch/database.go", "../eventlog/watch/restart.go", "../eventlog/watch/secret.go", "../eventlog/watch/service.go",
		}, `^((xmpp|callbridge|webadmin|database) (certs|cluster|trust|restart)|2006|%\.1f GiB|%d MiB)`},
		{"the connection to XMPP servers", []string{
			"../callbridge/status.go", "../callbridge/failure.go", "../callbridge/target.go", "../callbridge/trust.go", "../callbridge/walk.go",
			"../callbridge/way.go", "../callbridge/connect.go", "../callbridge/check.go", "../callbridge/people.go", "../callbridge/twin.go",
		}, `^(%d %s|No other Call Bridge|callbridge xmpp|DNS (SRV|A)$|No DNS A|XMPP (component )?connection (dis|est|dropped)|LDAP server %s (can|is not|has other)|there is no directory)`},
		{"the directory", []string{
			"../callbridge/directory/connect.go", "../callbridge/directory/trust.go", "../callbridge/directory/refusal.go", "../callbridge/directory/walk.go",
			"../callbridge/directory/settings.go", "../callbridge/directory/mapping.go", "../callbridge/directory/pool.go",
		}, `^(callbridge directory [a-z]+$| <|2006|AcceptSec|%s \(SHA|% X|:/|ldap: |x509: |the directory is closed)`},
		{"keys and interfaces", []string{"../pki/content.go", "../network/check.go"}, `^([A-Z0-9 ]+$|-----BEGIN|x509: )`},
		{"other nodes", []string{"../xmpp/peer/dial.go", "../xmpp/peer/trust.go", "../database/explain.go"}, `^(dial |remote error|2006|%s \(SHA|% X|tls: |x509: )`},
	} {
		t.Run(tt.what, func(t *testing.T) {
			phrasetest.Covers(t, regexp.MustCompile(tt.skip), tt.files, tables...)
		})
	}
}

func TestSaidHasTheSameValues(t *testing.T) {
	for _, table := range []map[string]string{saidRows, saidFaults, saidLink} {
		phrasetest.SameValues(t, table)
	}
}

// TestValuesOfProblemsAreGerman: what services put into problems as text is known
// as well, where German says it as text.
func TestValuesOfProblemsAreGerman(t *testing.T) {
	var prose []string
	for _, german := range problem.German() {
		for _, m := range regexp.MustCompile(`\{(\w+)!\}`).FindAllStringSubmatch(german, -1) {
			prose = append(prose, m[1])
		}
	}
	seen := 0
	check(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); !ok || s.Sel.Name != "New" {
				return true
			}
			for i := 1; i+1 < len(call.Args); i += 2 {
				name, value := literal(call.Args[i]), literal(call.Args[i+1])
				if value == "" || !slices.Contains(prose, name) || size.MatchString(value) {
					continue
				}
				seen++
				if _, ok := said.Say(value); !ok {
					t.Errorf("%s: the %s %q has no German", path, name, value)
				}
			}
			return true
		})
		return nil
	}))
	if seen < 15 {
		t.Errorf("only %d values found; want those of all services", seen)
	}
}

// size is the same in each language.
var size = regexp.MustCompile(`^\d+ [MG]iB$`)

func literal(e ast.Expr) string {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(l.Value)
	return text
}
