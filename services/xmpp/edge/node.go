package edge

import (
	"crypto/tls"
	"errors"
	"sync"
	"time"
)

// alpnPeer is what a node offers first in its ClientHello.
const alpnPeer = "parley-peer"

// errHanded ends a negotiation whose connection has been given away, and is
// over by now.
var errHanded = errors.New("connection handed over")

// handshakeDirect does the handshake of a connection that is TLS from its first
// byte, which may be a node's.
func (p *peer) handshakeDirect() (t *tls.Conn, node bool, err error) {
	cfg := p.edge.clientTLS
	if door := p.edge.deps.Peer; door != nil {
		cfg = cfg.Clone()
		cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if len(h.SupportedProtos) == 0 || h.SupportedProtos[0] != alpnPeer {
				return nil, nil
			}
			node = true
			return door.ServerTLS(), nil
		}
	}
	t, err = p.startTLS(cfg)
	return t, node, err
}

// handOver gives a node's connection to its door, and returns errHanded when
// the connection is closed: until then it is one of the listener's, and ends
// with it.
func (p *peer) handOver(t *tls.Conn) error {
	p.known()
	p.mu.Lock()
	if p.stopped != nil {
		p.mu.Unlock()
		return errGone
	}
	closed := make(chan struct{})
	p.node, p.wire.closed = true, sync.OnceFunc(func() { close(closed) })
	err := p.wire.SetDeadline(time.Time{})
	p.mu.Unlock()
	if err != nil {
		return errGone
	}
	p.edge.deps.Peer.Serve(t)
	<-closed
	return errHanded
}

// hangUp closes a node's connection.
func (p *peer) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.node {
		p.wire.Close()
	}
}
