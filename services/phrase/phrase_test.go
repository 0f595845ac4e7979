package phrase

import (
	"strings"
	"testing"
)

var book = New(map[string]string{
	"and":                             "und",
	", then ":                         ", dann ",
	"none is set":                     "nichts ist gesetzt",
	"it is disabled":                  "abgeschaltet",
	"{n} days":                        "{n} Tagen",
	"member {w-node}":                 "Mitglied {w-node}",
	"1 hour":                          "1 Stunde",
	"registered for {time}":           "registriert seit {time!}",
	"{node} cannot be reached":        "{node} ist nicht erreichbar",
	"{node} cannot be reached: {why}": "{node} ist nicht erreichbar: {why!}",
	"type '{command}'":                "'{command}' eingeben",
	"{a} and {b} are the same, {a}":   "{b} und {a} sind gleich",
	"see 'dns' on {w}; port {n} must be open":         "siehe 'dns' auf {w}; Port {n} muss offen sein",
	"start {nodes} again":                             "{nodes!} neu starten",
	"cluster mode is off":                             "der Clusterbetrieb ist aus",
	"cluster mode is off; type 'xmpp cluster enable'": "'xmpp cluster enable' eingeben: der Clusterbetrieb ist aus",
})

func TestSay(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
		unknown    bool
	}{
		"whole":              {text: "none is set", want: "nichts ist gesetzt"},
		"value":              {text: "10.0.0.1 cannot be reached", want: "10.0.0.1 ist nicht erreichbar"},
		"sentence in it":     {text: "cb1 cannot be reached: it is disabled", want: "cb1 ist nicht erreichbar: abgeschaltet"},
		"unknown in it":      {text: "cb1 cannot be reached: EOF", want: "cb1 ist nicht erreichbar: EOF"},
		"names stay":         {text: "none is set cannot be reached", want: "none is set ist nicht erreichbar"},
		"word":               {text: "member 10.0.0.1", want: "Mitglied 10.0.0.1"},
		"no word":            {text: "member of nothing", want: "member of nothing", unknown: true},
		"number":             {text: "3 days", want: "3 Tagen"},
		"no number":          {text: "some days", want: "some days", unknown: true},
		"list":               {text: "registered for 3 days, 1 hour", want: "registriert seit 3 Tagen, 1 Stunde"},
		"two sentences":      {text: "none is set; type 'dns'", want: "nichts ist gesetzt; 'dns' eingeben"},
		"the longer one":     {text: "cluster mode is off; type 'xmpp cluster enable'", want: "'xmpp cluster enable' eingeben: der Clusterbetrieb ist aus"},
		"with two in one":    {text: "cb1: none is set; see 'dns' on cb2; port 53 must be open", want: "cb1: nichts ist gesetzt; siehe 'dns' auf cb2; Port 53 muss offen sein"},
		"value and sentence": {text: "cb1 cannot be reached: EOF; none is set", want: "cb1 ist nicht erreichbar: EOF; nichts ist gesetzt"},
		"half is not enough": {text: "none is set; what?", want: "none is set; what?", unknown: true},
		"where":              {text: "cb1.example.com:5223: it is disabled", want: "cb1.example.com:5223: abgeschaltet"},
		"value twice":        {text: "x and y are the same, x", want: "y und x sind gleich"},
		"not twice":          {text: "x and y are the same, z", want: "x and y are the same, z", unknown: true},
		"names":              {text: "start cb1, cb2 and cb3 again", want: "cb1, cb2 und cb3 neu starten"},
		"names in order":     {text: "start root one, then root two again", want: "root one, dann root two neu starten"},
		"no names":           {text: "start what is down and out again", want: "what is down and out neu starten"},
		"no value":           {text: "type ''", want: "type ''", unknown: true},
		"nothing":            {unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, known := book.Say(tt.text); got != tt.want || known == tt.unknown {
				t.Errorf("Say(%q) = %q, %v; want %q, %v", tt.text, got, known, tt.want, !tt.unknown)
			}
		})
	}
}

// FuzzSay: what is said comes from other nodes as well.
func FuzzSay(f *testing.F) {
	f.Add("cb1 cannot be reached: it is disabled; none is set, 3 days")
	f.Add(strings.Repeat("a: ", 20) + "; , and ")
	f.Fuzz(func(t *testing.T, text string) {
		if got, known := book.Say(text); !known && got != text {
			t.Errorf("Say(%q) = %q and unknown; want it as it is", text, got)
		}
	})
}
