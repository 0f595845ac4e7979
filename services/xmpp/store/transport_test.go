package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// Raft listens to a pipeline until the first refusal, and may be sending then.
// Neither that nor a broken disk may hold the sender up for good.
func TestPipelineThatNobodyListensTo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		onDisk error
		// answers are those that are handed on.
		answers int
	}{
		{"refusals", nil, 10},
		{"disk of this node broken", errors.New("input/output error"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			net := tcp{}
			there := net.listen(t, net.address(t, 1))
			w := newWire(net.listen(t, net.address(t, 0)), "a", func() (int, bool) { return 2, true }, nil, func(uint64) error { return tt.onDisk })
			ctx, stop := context.WithCancel(t.Context())
			var refusing sync.WaitGroup
			t.Cleanup(func() {
				stop()
				refusing.Wait()
				w.end()
				there.(raft.WithClose).Close()
			})
			refusing.Go(func() {
				for {
					select {
					case rpc := <-there.Consumer():
						rpc.Respond(&raft.AppendEntriesResponse{Term: 2}, nil)
					case <-ctx.Done():
						return
					}
				}
			})
			p, err := w.AppendEntriesPipeline("b", there.LocalAddr())
			if err != nil {
				t.Fatal(err)
			}
			const all = 10
			sent := make(chan error, 1)
			go func() {
				var err error
				for i := uint64(1); i <= all && err == nil; i++ {
					_, err = p.AppendEntries(&raft.AppendEntriesRequest{Term: 1, Entries: []*raft.Log{{Index: i}}}, &raft.AppendEntriesResponse{})
				}
				sent <- err
			}()
			select {
			case err := <-sent:
				if err != nil {
					t.Error("AppendEntries:", err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("AppendEntries waits for somebody who listens")
			}
			for i := range tt.answers {
				f := <-p.Consumer()
				if got := f.Request().Entries[0].Index; got != uint64(i+1) {
					t.Errorf("answer %d is to entry %d", i+1, got)
				}
			}
			if err := p.Close(); err != nil {
				t.Error("Close:", err)
			}
			select {
			case f := <-p.Consumer():
				t.Errorf("answer to entry %d is handed on", f.Request().Entries[0].Index)
			default:
			}
		})
	}
}
