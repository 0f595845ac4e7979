package resolver

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/problem"
)

func TestParseRecord(t *testing.T) {
	for _, tt := range []struct{ text, want, reason string }{
		{"cb1.example.com. 86400 IN A 10.0.0.5", "cb1.example.com. 86400 IN A 10.0.0.5", ""},
		{"CB1.Example.com A 10.0.0.5", "cb1.example.com. 3600 IN A 10.0.0.5", ""},
		{"cb1.example.com IN 300 AAAA 2001:db8::5", "cb1.example.com. 300 IN AAAA 2001:db8::5", ""},
		{"_xmpp-component._tcp.tptac9.com. 86400 IN SRV 0 0 5223 cb1.tptac9.com.", "_xmpp-component._tcp.tptac9.com. 86400 IN SRV 0 0 5223 cb1.tptac9.com.", ""},
		{"_xmpp-client._tcp.tptac9.com SRV 10 50 5222 CB1.tptac9.com", "_xmpp-client._tcp.tptac9.com. 3600 IN SRV 10 50 5222 cb1.tptac9.com.", ""},
		{"_x._tcp.example.com SRV 0 0 0 .", "_x._tcp.example.com. 3600 IN SRV 0 0 0 .", ""},
		{"www.example.com.\t60\tCNAME\tcb1.example.com", "www.example.com. 60 IN CNAME cb1.example.com.", ""},
		{"", "", "empty"},
		{"cb1.example.com", "", "no data"},
		{"cb1.example.com A", "", "no data"},
		{"cb1.example.com 60 IN A", "", "no data"},
		{"www.example.com CNAME a", "www.example.com. 3600 IN CNAME a.", ""},
		{"cb1.example.com A 10.0.0.256", "", `: "10.0.0.256" is not its address;`},
		{"cb1.example.com A 2001:db8::5", "", `: "2001:db8::5" is not its address;`},
		{"cb1.example.com AAAA 10.0.0.5", "", `: "10.0.0.5" is not its address;`},
		{"cb1.example.com A 10.0.0.5 10.0.0.6", "", ""},
		{"cb1.example.com A 10.0.0.5\ncb2.example.com A 10.0.0.6", "", "character"},
		{"cb1.example.com CH A 10.0.0.5", "", "class"},
		{"example.com MX 10 mail.example.com", "", "type is MX"},
		{"example.com TXT x", "", "type is TXT"},
		{"*.example.com A 10.0.0.5", "", "character '*'"},
		{"$INCLUDE /etc/passwd", "", "character '$'"},
		{"$GENERATE 1-99 h$ A 10.0.0.$", "", "character '$'"},
		{" A 10.0.0.5", "", "blank"},
		{"exämple.com A 10.0.0.5", "", "character"},
		{"a..b A 10.0.0.5", "", ""},
		{strings.Repeat("x", 64) + ".com A 10.0.0.5", "", ""},
		{strings.Repeat("x", 700), "", "too long"},
		{"_x._tcp.example.com SRV 0 0 65536 cb1.example.com", "", `: "65536" is not its port;`},
		{"_x._tcp.example.com SRV 0 0 5223", "", ": it has no target;"},
		{"_x._tcp.example.com SRV 0 0", "", ": it has no port;"},
		{"cb1.example.com 60", "", "no data"},
		{"cb1.example.com 2147483648 A 10.0.0.5", "", "TTL"},
		{". A 10.0.0.5", "", "not a domain name"},
		{"www.example.com CNAME .", "", "not a domain name"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			rr, err := ParseRecord(tt.text)
			if tt.want != "" {
				if err != nil || strings.Join(strings.Fields(rr.String()), " ") != tt.want {
					t.Errorf("ParseRecord(%q) = %v, %v; want %s", tt.text, rr, err, tt.want)
				}
				return
			}
			if problem.CodeOf(err) != problem.RecordBad || !strings.Contains(problem.Text(err), tt.reason) {
				t.Errorf("ParseRecord(%q) = %v, %v; want %s that says %q", tt.text, rr, err, problem.RecordBad, tt.reason)
			}
		})
	}
}

// FuzzParseRecord checks that what is taken is one record of the four types,
// whose text is taken as the same record again.
func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{
		"cb1.example.com. 86400 IN A 10.0.0.5", "x AAAA ::1", "_a._tcp.b SRV 0 0 5223 c", "a CNAME b",
		"x CLASS1 A 1.2.3.4", "x TYPE1 \\# 4 0a000005", "x 1w A 1.2.3.4", "x A", "x IN", "x NULL",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rr, err := ParseRecord(s)
		if err != nil {
			if problem.CodeOf(err) != problem.RecordBad || rr != nil {
				t.Fatalf("ParseRecord(%q) = %v, %v; want a problem alone", s, rr, err)
			}
			return
		}
		switch rr.(type) {
		case *dns.A, *dns.AAAA, *dns.SRV, *dns.CNAME:
		default:
			t.Fatalf("ParseRecord(%q) is a %T", s, rr)
		}
		again, err := ParseRecord(rr.String())
		if err != nil || again.String() != rr.String() {
			t.Errorf("ParseRecord(%q) is %q, and of that %v, %v", s, rr, again, err)
		}
		m := new(dns.Msg)
		m.Answer = []dns.RR{rr}
		if _, err := m.Pack(); err != nil {
			t.Errorf("%q does not pack: %v", rr, err)
		}
	})
}

func TestParseZone(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{".", "."}, {"example.com", "example.com"}, {"Example.COM.", "example.com"}, {"10.in-addr.arpa", "10.in-addr.arpa"},
		{"", ""}, {"..", ""}, {"a..b", ""}, {"a b", ""}, {"*.example.com", ""}, {".com", ""},
	} {
		got, err := ParseZone(tt.text)
		if got != tt.want || (err == nil) != (tt.want != "") || err != nil && problem.CodeOf(err) != problem.ZoneBad {
			t.Errorf("ParseZone(%q) = %q, %v; want %q", tt.text, got, err, tt.want)
		}
	}
}

func TestParseServer(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"10.0.0.53", "10.0.0.53:53"}, {"10.0.0.53:5353", "10.0.0.53:5353"}, {"2001:db8::53", "[2001:db8::53]:53"}, {"[2001:db8::53]:54", "[2001:db8::53]:54"},
		{"", ""}, {"ns.example.com", ""}, {"0.0.0.0", ""}, {"224.0.0.1", ""}, {"255.255.255.255", ""}, {"10.0.0.53:0", ""}, {"10.0.0.53/24", ""},
	} {
		got, err := ParseServer(tt.text)
		if (err == nil) != (tt.want != "") || err == nil && got.String() != tt.want || err != nil && problem.CodeOf(err) != problem.NameServerBad {
			t.Errorf("ParseServer(%q) = %v, %v; want %q", tt.text, got, err, tt.want)
		}
	}
}

func TestCheckAliases(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records []string
		want    problem.Code
	}{
		{"chain", []string{"a CNAME b", "b CNAME c", "c A 10.0.0.5"}, ""},
		{"chain to outside", []string{"a CNAME b", "b CNAME c"}, ""},
		{"itself", []string{"a CNAME a"}, problem.RecordLoop},
		{"ring", []string{"a CNAME b", "b CNAME c", "c CNAME a"}, problem.RecordLoop},
		{"into a ring", []string{"x CNAME a", "a CNAME b", "b CNAME a"}, problem.RecordLoop},
		{"alias with address", []string{"a CNAME b", "a A 10.0.0.5"}, problem.RecordClash},
		{"two aliases", []string{"a CNAME b", "a CNAME c"}, problem.RecordClash},
		{"twice the same", []string{"a CNAME b", "A. CNAME B."}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := Check(config.DNS{Records: tt.records}); problem.CodeOf(err) != tt.want {
				t.Errorf("Check(%q) = %v; want %q", tt.records, err, tt.want)
			}
		})
	}
}
