package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"parley/services/xmpp/link"
)

// BenchmarkApply is durable messages, so many to a call.
func BenchmarkApply(b *testing.B) {
	for _, batch := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			s, _ := start(b, Config{Dir: b.TempDir()})
			apply(b, s, &AccountAdd{Name: "ada"})
			body := make([]byte, 300)
			b.ResetTimer()
			for n := 0; n < b.N; n += batch {
				ops := make([]Op, batch, batch+1)
				for i := range ops {
					ops[i] = &MessagePut{Account: "ada", Stamp: time.Now(), Stanza: body}
				}
				done := &Delivered{Account: "ada"}
				for i := range batch {
					done.Items = append(done.Items, link.Item(n-batch+i+1))
				}
				if _, err := s.Apply(context.Background(), append(ops, done)...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
