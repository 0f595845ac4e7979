package stream

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"parley/services/xmpp/stanza"
)

// message is a chat message as clients send it, of about 400 bytes.
const message = `<message to="juliet@example.com/balcony" from="romeo@example.com/orchard" type="chat" id="4f3c2b1a-7d6e-4c5b-9a8f-0e1d2c3b4a59" xml:lang="en">` +
	`<body>Art thou not Romeo, and a Montague? Neither, fair saint, if either thee dislike.</body>` +
	`<active xmlns="http://jabber.org/protocol/chatstates"/><request xmlns="urn:xmpp:receipts"/>` +
	`<origin-id xmlns="urn:xmpp:sid:0" id="4f3c2b1a-7d6e-4c5b-9a8f-0e1d2c3b4a59"/></message>`

const benchStanzas = 1000

func BenchmarkScanner(b *testing.B) {
	in := []byte(head + strings.Repeat(message, benchStanzas) + End)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		s := NewScanner(bytes.NewReader(in), stanza.NSClient, &Limits{Stanza: 256 << 10, Depth: 32, Attrs: 64, Name: 256})
		if _, err := s.Header(); err != nil {
			b.Fatal(err)
		}
		n := 0
		for {
			if _, err := s.Next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != benchStanzas {
			b.Fatalf("%d stanzas", n)
		}
	}
	b.ReportMetric(float64(benchStanzas*b.N)/b.Elapsed().Seconds(), "stanzas/s")
}

func BenchmarkParse(b *testing.B) {
	in := []byte(message)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	e, err := Parse([]byte(message))
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.Append(buf[:0], stanza.NSClient)
	}
	b.SetBytes(int64(len(buf)))
}

// BenchmarkEncodingXML is the yardstick.
func BenchmarkEncodingXML(b *testing.B) {
	in := head + strings.Repeat(message, benchStanzas) + End
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		for d := xml.NewDecoder(strings.NewReader(in)); ; {
			if _, err := d.Token(); err != nil {
				break
			}
		}
	}
}
