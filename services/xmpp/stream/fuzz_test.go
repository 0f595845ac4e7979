package stream

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/stanza"
)

var seeds = []string{
	"<a/>", "<message to='x' id=\"1\"><body>a &lt; b &#x20AC;</body></message>",
	"<a xmlns='u' xmlns:p='v'><p:b p:c='d' e='\t\r\n'/>\r\n</a>", "<a><![CDATA[<x>]]>y<b/>z</a>", "<a>\u00e4\U0001F600</a>",
	"<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", "<a b=\"'>\"/>", "<x:a xmlns:x='u'/>", "<a>]]></a>", "<é/>", "<a>&#13;&foo;</a>",
	"<stream:error><a xmlns='u'/></stream:error>", "<a xml:lang='en'/>", "<a b='&quot;&#9;'/>", "<a/> ", " <a/>",
}

// FuzzParse has encoding/xml as its oracle, and the round trip through
// Element.Append.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := Parse([]byte(in))
		want, oracleErr := oracle(in)
		switch {
		case err == nil && oracleErr != nil && !beyondOracle(in):
			t.Fatalf("Parse(%q) accepts what encoding/xml does not: %v", in, oracleErr)
		case err != nil && oracleErr == nil && !stricter(err):
			t.Fatalf("Parse(%q) = %v; encoding/xml accepts it", in, err)
		case err == nil && oracleErr == nil:
			if d := cmp.Diff(oracleForm(want), oracleForm(got)); d != "" {
				t.Fatalf("Parse(%q) differs from encoding/xml (-theirs +ours):\n%s", in, d)
			}
		}
		if err != nil {
			return
		}
		b := got.Append(nil, "")
		again, err := Parse(b)
		if err != nil {
			t.Fatalf("Parse(%q), of the Append of Parse(%q): %v", b, in, err)
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Fatalf("round trip of %q through %q differs:\n%s", in, b, d)
		}
	})
}

// FuzzScanner has the whole at once and byte by byte agree, within limits.
func FuzzScanner(f *testing.F) {
	for _, s := range seeds {
		f.Add("<?xml version='1.0'?>" + head + s + " " + s + "</stream:stream>")
	}
	f.Fuzz(func(t *testing.T, in string) {
		h1, es1, err1 := read(strings.NewReader(in), stanza.NSClient, testLimits)
		h2, es2, err2 := read(&singles{in}, stanza.NSClient, testLimits)
		if h1 != h2 || !cmp.Equal(es1, es2) {
			t.Fatalf("scan of %q differs with the size of reads: %v %v, %v %v", in, h1, es1, h2, es2)
		}
		var e1, e2 *Error
		if errors.As(err1, &e1) != errors.As(err2, &e2) || e1 == nil && err1 != err2 {
			t.Fatalf("scan of %q ends with %v or %v, depending on the size of reads", in, err1, err2)
		}
		for _, e := range es1 {
			if n := len(e.Append(nil, "")); n > 64*testLimits.Stanza {
				t.Fatalf("a stanza of %q became %d bytes", in, n)
			}
		}
	})
}

type singles struct{ s string }

func (s *singles) Read(p []byte) (int, error) {
	if s.s == "" {
		return 0, io.EOF
	}
	p[0], s.s = s.s[0], s.s[1:]
	return 1, nil
}

// oracle reads one element with encoding/xml.
func oracle(in string) (*stanza.Element, error) {
	d := xml.NewDecoder(strings.NewReader(in))
	var root *stanza.Element
	var open []*stanza.Element
	for {
		tok, err := d.Token()
		if err == io.EOF {
			if root == nil || len(open) > 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch x := tok.(type) {
		case xml.StartElement:
			if root != nil && len(open) == 0 {
				return nil, errors.New("two roots")
			}
			e := &stanza.Element{Name: stanza.Name{Space: x.Name.Space, Local: x.Name.Local}}
			for _, a := range x.Attr {
				if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
					continue
				}
				e.Attrs = append(e.Attrs, stanza.Attr{Name: stanza.Name{Space: a.Name.Space, Local: a.Name.Local}, Value: a.Value})
			}
			if root == nil {
				root = e
			} else {
				open[len(open)-1].Add(e)
			}
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) == 0 {
				if root != nil || strings.TrimLeft(string(x), " \t\r\n") != "" {
					return nil, errors.New("text outside the root")
				}
				continue
			}
			open[len(open)-1].AddText(string(x))
		default:
			return nil, errors.New("restricted")
		}
	}
}

// oracleForm forgives what encoding/xml does otherwise than XML: it does not
// turn white space in attributes into spaces, gives unknown prefixes as
// namespaces, and splits text at CDATA.
func oracleForm(e *stanza.Element) *stanza.Element {
	c := &stanza.Element{Name: e.Name}
	if c.Name.Space == stanza.NSStreams {
		c.Name.Space = "stream"
	}
	for _, a := range e.Attrs {
		if a.Name.Space == stanza.NSXML {
			a.Name.Space = "xml"
		}
		if a.Name.Space == stanza.NSStreams {
			a.Name.Space = "stream"
		}
		a.Value = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ").Replace(a.Value)
		c.Attrs = append(c.Attrs, a)
	}
	text := ""
	flush := func() {
		if text != "" {
			c.AddText(text)
		}
		text = ""
	}
	for _, n := range e.Nodes {
		if n.Element == nil {
			text += n.Text
			continue
		}
		flush()
		c.Add(oracleForm(n.Element))
	}
	flush()
	return c
}

// beyondOracle says that in may have names of XML's fifth edition, which
// encoding/xml does not know.
func beyondOracle(in string) bool {
	for _, r := range in {
		if r >= 0x80 {
			return true
		}
	}
	return false
}

// stricter says that err is for a rule that encoding/xml does not check.
func stricter(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Text {
	case "comments, instructions, document types and entities are not allowed", "an attribute given twice",
		"an undeclared namespace prefix", "a namespace declaration that is not allowed", "a misplaced colon in a name",
		"a name that begins with a wrong character", "a character that is not allowed in a name", "a reference to no character",
		"an & that begins no reference", "a name was expected", "no space before an attribute":
		return true
	}
	return e.Condition == BadFormat && e.Text == "text between stanzas"
}
