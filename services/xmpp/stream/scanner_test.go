package stream

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/stanza"
)

const head = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.com' version='1.0'>"

var testLimits = &Limits{Stanza: 4096, Depth: 5, Attrs: 8, Name: 64}

// read scans a whole stream.
func read(r io.Reader, content string, l *Limits) (h Header, es []*stanza.Element, err error) {
	s := NewScanner(r, content, l)
	defer s.Release()
	if h, err = s.Header(); err != nil {
		return h, nil, err
	}
	for {
		e, err := s.Next()
		if err != nil {
			return h, es, err
		}
		es = append(es, e)
	}
}

func TestScanner(t *testing.T) {
	long := strings.Repeat("x", 3000)
	in := "<?xml version='1.0' encoding=\"utf-8\"?>\n" + head[:len(head)-1] + " xml:lang='de' xmlns:p='urn:p'> \n " +
		"<message to='ada@example.com' id=\"1\"><body>a &lt; b &amp;&#x20AC;&#8364;</body></message>" +
		"<presence/>\n\n<iq type='get' id='2'><query xmlns='urn:q'><item a='&apos;\n'/><p:x p:y='1' xml:lang='en'/></query></iq>" +
		"<p:other>eins<![CDATA[<zwei>&amp;]]>\r\ndrei\r</p:other>" +
		"<message><body>" + long + "</body></message>" +
		"<m>1<n>2</n>3<n/>4<n><![CDATA[5]]></n><![CDATA[6]]></m>" +
		"<a xmlns:p='urn:inner'  ><p:b /><b xmlns=''><c xmlns='jabber:client'></c></b></a\n></stream:stream >"
	el := stanza.New
	want := []*stanza.Element{
		el(stanza.NSClient, "message", "to", "ada@example.com", "id", "1").Add(el(stanza.NSClient, "body").AddText("a < b &€€")),
		el(stanza.NSClient, "presence"),
		el(stanza.NSClient, "iq", "type", "get", "id", "2").Add(el("urn:q", "query").Add(
			el("urn:q", "item", "a", "' "),
			&stanza.Element{Name: stanza.Name{Space: "urn:p", Local: "x"}, Attrs: []stanza.Attr{
				{Name: stanza.Name{Space: "urn:p", Local: "y"}, Value: "1"},
				{Name: stanza.Name{Space: stanza.NSXML, Local: "lang"}, Value: "en"},
			}})),
		el("urn:p", "other").AddText("eins<zwei>&amp;\ndrei\n"),
		el(stanza.NSClient, "message").Add(el(stanza.NSClient, "body").AddText(long)),
		el(stanza.NSClient, "m").AddText("1").Add(el(stanza.NSClient, "n").AddText("2")).AddText("3").Add(el(stanza.NSClient, "n")).
			AddText("4").Add(el(stanza.NSClient, "n").AddText("5")).AddText("6"),
		el(stanza.NSClient, "a").Add(el("urn:inner", "b"), el("", "b").Add(el(stanza.NSClient, "c"))),
	}
	for name, r := range map[string]io.Reader{
		"at once": strings.NewReader(in), "byte by byte": iotest.OneByteReader(strings.NewReader(in)),
		"halves": iotest.HalfReader(strings.NewReader(in)), "data with EOF": iotest.DataErrReader(strings.NewReader(in)),
	} {
		t.Run(name, func(t *testing.T) {
			h, got, err := read(r, stanza.NSClient, testLimits)
			if err != io.EOF {
				t.Fatalf("scan ended with %v; want EOF", err)
			}
			if want := (Header{Content: stanza.NSClient, To: "example.com", Version: "1.0", Lang: "de"}); h != want {
				t.Errorf("Header() = %+v; want %+v", h, want)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("stanzas differ (-want +got):\n%s", d)
			}
		})
	}
}

func TestScannerComponent(t *testing.T) {
	in := strings.Replace(head, "jabber:client", stanza.NSComponent, 1) +
		"<handshake>ab</handshake><message><body>x</body><f xmlns='urn:f'><message xmlns='jabber:component:accept'/></f></message></stream:stream>"
	_, got, err := read(strings.NewReader(in), stanza.NSComponent, testLimits)
	if err != io.EOF {
		t.Fatalf("scan ended with %v; want EOF", err)
	}
	el := stanza.New
	want := []*stanza.Element{
		el(stanza.NSClient, "handshake").AddText("ab"),
		el(stanza.NSClient, "message").Add(el(stanza.NSClient, "body").AddText("x"), el("urn:f", "f").Add(el(stanza.NSClient, "message"))),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("stanzas differ (-want +got):\n%s", d)
	}
}

func TestScannerErrors(t *testing.T) {
	deep := strings.Repeat("<a>", 6)
	for _, tt := range []struct {
		name, in string
		want     Condition
	}{
		{"comment", head + "<!-- x -->", RestrictedXML},
		{"comment in stanza", head + "<message><!-- x", RestrictedXML},
		{"comment in header", "<!--", RestrictedXML},
		{"document type", "<!DOCTYPE x [<!ENTITY a 'b'>]>" + head, RestrictedXML},
		{"document type after declaration", "<?xml version='1.0'?><!DOCTYPE x>", RestrictedXML},
		{"instruction", head + "<?php", RestrictedXML},
		{"instruction in stanza", head + "<message><?x y?>", RestrictedXML},
		{"declaration late", " <?xml version='1.0'?>" + head, RestrictedXML},
		{"declaration twice", "<?xml version='1.0'?><?xml version='1.0'?>", RestrictedXML},
		{"entity", head + "<message><body>&foo;</body>", RestrictedXML},
		{"entity in attribute", head + "<message to='&foo;'/>", RestrictedXML},
		{"CDATA between stanzas", head + "<![CDATA[x]]>", RestrictedXML},

		{"wrong end tag", head + "<message><body></message>", NotWellFormed},
		{"end tag between stanzas", head + "</message>", NotWellFormed},
		{"end tag of the stream in a stanza", head + "<message></stream:stream>", NotWellFormed},
		{"end tag with attribute", head + "<a></a b='c'>", NotWellFormed},
		{"attribute twice", head + "<a b='1' b='2'/>", NotWellFormed},
		{"attribute twice by namespace", head + "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", NotWellFormed},
		{"declaration of prefix twice", head + "<a xmlns:p='u' xmlns:p='v'/>", NotWellFormed},
		{"no quotes", head + "<a b=c/>", NotWellFormed},
		{"no value", head + "<a b/>", NotWellFormed},
		{"no space", head + "<a b='c'd='e'/>", NotWellFormed},
		{"< in tag", head + "<a <", NotWellFormed},
		{"< in value", head + "<a b='<", NotWellFormed},
		{"bare &", head + "<a>& </a>", NotWellFormed},
		{"bare & at end", head + "<a>&</a>", NotWellFormed},
		{"]]> in text", head + "<a>]]></a>", NotWellFormed},
		{"control character", head + "<a>\x01</a>", NotWellFormed},
		{"control character in value", head + "<a b='\x00'/>", NotWellFormed},
		{"control character in CDATA", head + "<a><![CDATA[\x02]]></a>", NotWellFormed},
		{"reference to control character", head + "<a>&#1;</a>", NotWellFormed},
		{"reference to surrogate", head + "<a>&#xD800;</a>", NotWellFormed},
		{"reference beyond Unicode", head + "<a>&#x110000;</a>", NotWellFormed},
		{"reference to nothing", head + "<a>&#;</a>", NotWellFormed},
		{"U+FFFE", head + "<a>\uFFFE</a>", NotWellFormed},
		{"name begins with digit", head + "<1a/>", NotWellFormed},
		{"name begins with dash", head + "<-a/>", NotWellFormed},
		{"empty name", head + "<>", NotWellFormed},
		{"space before name", head + "< a/>", NotWellFormed},
		{"two colons", head + "<a:b:c/>", NotWellFormed},
		{"empty prefix", head + "<:a/>", NotWellFormed},
		{"undeclared prefix", head + "<x:a/>", NotWellFormed},
		{"undeclared prefix of attribute", head + "<a x:b='c'/>", NotWellFormed},
		{"prefix of a sibling", head + "<a><b xmlns:x='u'/><x:c/></a>", NotWellFormed},
		{"empty namespace of prefix", head + "<a xmlns:x=''/>", NotWellFormed},
		{"xml bound elsewhere", head + "<a xmlns:xml='u'/>", NotWellFormed},
		{"xmlns declared", head + "<a xmlns:xmlns='u'/>", NotWellFormed},
		{"declaration without version", "<?xml encoding='UTF-8'?>" + head, NotWellFormed},
		{"declaration with rubbish", "<?xml version='1.0' x?>" + head, NotWellFormed},
		{"header's prefix undeclared", "<stream:stream xmlns='jabber:client'>", NotWellFormed},

		{"bad UTF-8", head + "<a>\xff</a>", UnsupportedEncoding},
		{"overlong UTF-8", head + "<a>\xc0\xaf</a>", UnsupportedEncoding},
		{"surrogate in UTF-8", head + "<a b='\xed\xa0\x80'/>", UnsupportedEncoding},
		{"bad UTF-8 in name", head + "<a\xff/>", UnsupportedEncoding},
		{"Latin 1", "<?xml version='1.0' encoding='ISO-8859-1'?>" + head, UnsupportedEncoding},
		{"UTF-16", "\xfe\xff\x00<", UnsupportedEncoding},
		{"UTF-16 without mark", "<\x00s\x00", UnsupportedEncoding},

		{"text between stanzas", head + "x", BadFormat},
		{"HTTP", "GET / HTTP/1.1\r\n", BadFormat},
		{"other root", strings.ReplaceAll(head, "stream:stream", "stream:x"), BadFormat},
		{"header closes itself", strings.Replace(head, ">", "/>", 1), BadFormat},

		{"wrong stream namespace", strings.Replace(head, "etherx", "other", 1) + "<a/>", InvalidNamespace},
		{"no stream namespace", "<stream>", InvalidNamespace},
		{"wrong content namespace", strings.Replace(head, "jabber:client", "jabber:server", 1), InvalidNamespace},
		{"no content namespace", strings.Replace(head, "xmlns='jabber:client'", "", 1), InvalidNamespace},
		{"other prefix", strings.ReplaceAll(strings.ReplaceAll(head, "stream:stream", "s:stream"), "xmlns:stream", "xmlns:s"), BadNamespacePrefix},
		{"no prefix", "<stream xmlns='http://etherx.jabber.org/streams'>", BadNamespacePrefix},

		{"long text", head + "<a>" + strings.Repeat("x", 5000), PolicyViolation},
		{"long stanza", head + "<a>" + strings.Repeat("<b/>", 2000), PolicyViolation},
		{"long whole stanza", head + "<a>" + strings.Repeat("x", 5000) + "</a>", PolicyViolation},
		{"long value", head + "<a b='" + strings.Repeat("x", 5000), PolicyViolation},
		{"long CDATA", head + "<a><![CDATA[" + strings.Repeat("x", 5000), PolicyViolation},
		{"long end tag", head + "<a></a" + strings.Repeat(" ", 5000), PolicyViolation},
		{"long end of stream", head + "</stream:stream" + strings.Repeat(" ", 5000), PolicyViolation},
		{"long header", head[:len(head)-1] + strings.Repeat(" ", 5000), PolicyViolation},
		{"long declaration", "<?xml " + strings.Repeat(" ", 5000), PolicyViolation},
		{"long name", head + "<" + strings.Repeat("x", 65) + "/>", PolicyViolation},
		{"deep", head + deep, PolicyViolation},
		{"many attributes", head + "<a b='' c='' d='' e='' f='' g='' h='' i='' j=''/>", PolicyViolation},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				_, _, err := read(r, stanza.NSClient, testLimits)
				var e *Error
				if !errors.As(err, &e) || e.Condition != tt.want {
					t.Errorf("scan of %.200q = %v; want %s", tt.in, err, tt.want)
				}
			}
		})
	}
}

func TestScannerUnfinished(t *testing.T) {
	whole := "<?xml version='1.0'?>" + head + "<a b='c'><![CDATA[d]]>e</a></stream:stream>"
	for n := range len(whole) {
		if _, _, err := read(strings.NewReader(whole[:n]), stanza.NSClient, testLimits); err != io.ErrUnexpectedEOF {
			t.Errorf("scan of %q = %v; want unexpected EOF", whole[:n], err)
		}
	}
}

// A deadline in the middle of anything must not lose bytes: the edge's silence
// timer relies on it.
func TestScannerResumes(t *testing.T) {
	in := head + "<a b='c'>" + strings.Repeat("x", 100) + "</a> </stream:stream>"
	s := NewScanner(&flaky{r: strings.NewReader(in)}, stanza.NSClient, testLimits)
	var err error
	for {
		if _, err = s.Header(); !errors.Is(err, iotest.ErrTimeout) {
			break
		}
	}
	var es []*stanza.Element
	for err == nil || errors.Is(err, iotest.ErrTimeout) {
		var e *stanza.Element
		if e, err = s.Next(); e != nil {
			es = append(es, e)
		}
	}
	if err != io.EOF || len(es) != 1 || len(es[0].Text()) != 100 {
		t.Errorf("got %d stanzas, %v; want 1 and EOF", len(es), err)
	}
}

// flaky gives a byte and a timeout in turn.
type flaky struct {
	r   io.Reader
	odd bool
}

func (f *flaky) Read(p []byte) (int, error) {
	if f.odd = !f.odd; f.odd {
		return 0, iotest.ErrTimeout
	}
	return f.r.Read(p[:1])
}

func TestScannerRestart(t *testing.T) {
	s := NewScanner(strings.NewReader(head+"<auth xmlns='urn:a'/>\n<?xml version='1.0'?>"+head+"<b/></stream:stream>"), stanza.NSClient, testLimits)
	for _, want := range []string{"auth", "b"} {
		if _, err := s.Header(); err != nil {
			t.Fatal(err)
		}
		if e, err := s.Next(); err != nil || e.Name.Local != want {
			t.Fatalf("Next() = %v, %v; want %s", e, err, want)
		}
		s.Restart()
	}
}

func TestScannerHoldsNothingWhenIdle(t *testing.T) {
	r, w := io.Pipe()
	s := NewScanner(r, stanza.NSClient, testLimits)
	go func() { io.WriteString(w, head+"<a/> <b/> "); w.CloseWithError(iotest.ErrTimeout) }()
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Next(); !errors.Is(err, iotest.ErrTimeout) {
		t.Fatal(err)
	}
	if s.buf != nil || s.tree != nil {
		t.Error("a scanner between stanzas holds a buffer")
	}
}

func TestWriters(t *testing.T) {
	h := Header{Content: stanza.NSClient, From: "example.com", ID: "a'b", Version: "1.0", Lang: "en", To: "ada@example.com"}
	b := h.Append(nil)
	b = Features(stanza.New("urn:x", "x")).Append(b, stanza.NSClient)
	b = (&Error{Condition: Conflict, Text: "<hm>", Specific: stanza.New("urn:y", "y")}).Append(b)
	b = append(b, End...)
	got, es, err := read(strings.NewReader(string(b)), stanza.NSClient, testLimits)
	if err != io.EOF || got != h {
		t.Errorf("read(written) = %+v, %v; want %+v", got, err, h)
	}
	want := []*stanza.Element{
		stanza.New(stanza.NSStreams, "features").Add(stanza.New("urn:x", "x")),
		stanza.New(stanza.NSStreams, "error").Add(stanza.New(nsErrors, "conflict"), stanza.New(nsErrors, "text").AddText("<hm>"), stanza.New("urn:y", "y")),
	}
	if d := cmp.Diff(want, es); d != "" {
		t.Errorf("written elements differ (-want +got):\n%s", d)
	}
}

func TestElementsDoNotShareRoomToGrow(t *testing.T) {
	e, err := Parse([]byte("<a x='1'><b y='2'/><c z='3'/></a>"))
	if err != nil {
		t.Fatal(err)
	}
	e.SetAttr("n", "1")
	e.First().SetAttr("n", "2")
	e.First().Add(stanza.New("", "d"))
	e.Add(stanza.New("", "e"))
	if got, want := e.String(), "<a x='1' n='1'><b y='2' n='2'><d/></b><c z='3'/><e/></a>"; got != want {
		t.Errorf("changed element = %s; want %s", got, want)
	}
}
