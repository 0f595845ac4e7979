package xmpp

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"parley/services/config"
	"parley/services/xmpp/peer"
)

// identities keeps what a node shows others, and trusts them by, while the files
// are the same: to read and check a key takes a millisecond, and an election
// opens several connections in turn. It may be used from any goroutine.
type identities struct {
	dir string

	mu sync.Mutex
	// read is nil before the first.
	read *identityFiles
	id   peer.Identity
}

// identityFiles are what an identity was read from.
type identityFiles struct {
	domain string
	// The key, the certificate, the bundle and the trust bundle.
	files [4]fileMark
}

// fileMark changes when a file is replaced: those of the folder are, always,
// by another of that name.
type fileMark struct {
	name          string
	inode         uint64
	size, changed int64
}

func markOf(dir, name string) fileMark {
	m := fileMark{name: name}
	if name == "" {
		return m
	}
	if fi, err := os.Stat(filepath.Join(dir, filepath.Base(name))); err == nil {
		m.size, m.changed, m.inode = fi.Size(), fi.ModTime().UnixNano(), inode(fi)
	}
	return m
}

func inode(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// of is the identity by x and the files as they are now.
func (i *identities) of(x config.XMPP) (peer.Identity, error) {
	at := identityFiles{x.Domain, [4]fileMark{
		markOf(i.dir, x.Key), markOf(i.dir, x.Certificate), markOf(i.dir, x.Bundle), markOf(i.dir, x.Cluster.Trust),
	}}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.read != nil && *i.read == at {
		return i.id, nil
	}
	id := peer.Identity{Domain: x.Domain}
	var err error
	if id.Certificate, err = loadCertificate(i.dir, x); err != nil {
		return id, err
	}
	if id.Trust, err = loadTrust(i.dir, x); err != nil {
		return id, err
	}
	i.read, i.id = &at, id
	return id, nil
}
