package stanza

import "testing"

func TestAppend(t *testing.T) {
	chat := New(NSClient, "message", "to", "ada@example.com").Add(
		New(NSClient, "body").AddText(`1 < 2 & "x" ]]> y`+"\r"),
		New("urn:example:x", "x").Add(New("urn:example:x", "y"), New("urn:example:z", "z")))
	lang := New(NSClient, "message")
	lang.Attrs = append(lang.Attrs, Attr{Name{NSXML, "lang"}, "de"}, Attr{Name{"urn:p", "a"}, "it's\n"}, Attr{Name{"urn:q", "a"}, "2"})
	for _, tt := range []struct {
		name      string
		e         *Element
		defaultNS string
		want      string
	}{
		{"in its own stream", chat, NSClient,
			`<message to='ada@example.com'><body>1 &lt; 2 &amp; "x" ]]&gt; y&#13;</body><x xmlns='urn:example:x'><y/><z xmlns='urn:example:z'/></x></message>`},
		{"on its own", New(NSClient, "iq", "id", "1"), "", `<iq xmlns='jabber:client' id='1'/>`},
		{"attributes with namespaces", lang, NSClient,
			`<message xml:lang='de' xmlns:ns0='urn:p' ns0:a='it&apos;s&#10;' xmlns:ns1='urn:q' ns1:a='2'/>`},
		{"stream prefix", New(NSStreams, "features").Add(New("urn:x", "a")), NSClient,
			`<stream:features><a xmlns='urn:x'/></stream:features>`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.e.Append(nil, tt.defaultNS)); got != tt.want {
				t.Errorf("Append(nil, %q)\n got %s\nwant %s", tt.defaultNS, got, tt.want)
			}
		})
	}
}

func TestErrorReply(t *testing.T) {
	iq := func(kind string) *Element {
		return New(NSClient, "iq", "type", kind, "id", "1", "from", "a@b/c", "to", "b").Add(New(NSPing, "ping"))
	}
	for _, tt := range []struct {
		name string
		e    *Element
		want string
	}{
		{"request", iq("get"), `<iq type='error' id='1' from='b' to='a@b/c'><ping xmlns='urn:xmpp:ping'/>` +
			`<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`},
		{"result", iq("result"), ""},
		{"error", iq("error"), ""},
		{"message", New(NSClient, "message", "from", "a@b/c", "to", "x@b").Add(New(NSClient, "body").AddText("hi")),
			`<message type='error' from='x@b' to='a@b/c'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if r := ErrorReply(tt.e, ServiceUnavailable, ""); r != nil {
				got = string(r.Append(nil, NSClient))
			}
			if got != tt.want {
				t.Errorf("ErrorReply\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestSetAttr(t *testing.T) {
	e := New(NSClient, "iq", "id", "1", "to", "x")
	e.SetAttr("to", "y")
	e.SetAttr("id", "")
	e.SetAttr("type", "get")
	if got, want := string(e.Append(nil, NSClient)), `<iq to='y' type='get'/>`; got != want {
		t.Errorf("after SetAttr = %s; want %s", got, want)
	}
}

func TestCloneSharesNoAttributes(t *testing.T) {
	e := New(NSClient, "message", "to", "a").AddText("x")
	c := e.Clone()
	c.SetAttr("to", "b")
	c.AddText("y")
	if e.Attr("to") != "a" || e.Text() != "x" {
		t.Errorf("after a change of its clone the element is %s", e)
	}
}
