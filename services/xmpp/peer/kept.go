package peer

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Kept keeps an Identity while the files that it was read from are the same: to
// read and check a key takes a millisecond, and an election opens several
// connections in turn. The zero value has none yet; it may be used from any
// goroutine.
type Kept struct {
	mu    sync.Mutex
	marks []fileMark
	id    Identity
}

// fileMark changes when a file is replaced: those of a node's folder are, always,
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

// Identity is what read returned last, or, where one of the named files in dir
// has another content or name since, returns now. Errors are not kept.
func (k *Kept) Identity(dir string, names []string, read func() (Identity, error)) (Identity, error) {
	marks := make([]fileMark, len(names))
	for i, name := range names {
		marks[i] = markOf(dir, name)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.marks != nil && slices.Equal(k.marks, marks) {
		return k.id, nil
	}
	id, err := read()
	if err == nil {
		k.marks, k.id = marks, id
	}
	return id, err
}
