package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"
)

// ErrOp is an op that no caller should make: an empty or overlong name.
var ErrOp = errors.New("change not acceptable")

// tables are the buckets of a transaction. Keys of several parts are joined by
// a zero byte, which no address holds.
type tables struct {
	tx *bbolt.Tx
	// meta: see the keys below.
	meta *bbolt.Bucket
	// accounts: name → verifiers.
	accounts *bbolt.Bucket
	// bridges: name → secret.
	bridges *bbolt.Bucket
	// roster: account, contact → Entry.
	roster *bbolt.Bucket
	// versions: account → number of the roster's last change.
	versions *bbolt.Bucket
	// inbox: account, item as 8 bytes → Message.
	inbox *bbolt.Bucket
	// pending: account → number of messages in its inbox.
	pending *bbolt.Bucket
	// sessions: SessionID → number and stamp of its last message put.
	sessions *bbolt.Bucket
	// records: table, key → value, of whoever keeps records of its own.
	records *bbolt.Bucket
}

// Keys of the bucket meta.
var (
	keyFormat      = []byte("format")
	keyIndex       = []byte("index")
	keyTerm        = []byte("term")
	keyItem        = []byte("item")
	keyConfig      = []byte("configuration")
	keyConfigIndex = []byte("configuration-index")
	keyCluster     = []byte("cluster")
)

// format is the version of the file's layout.
const format = 1

// tablesOf opens the buckets, making them where they are missing.
func tablesOf(tx *bbolt.Tx) (*tables, error) {
	t := &tables{tx: tx}
	for _, b := range []struct {
		name string
		at   **bbolt.Bucket
	}{
		{"meta", &t.meta}, {"accounts", &t.accounts}, {"bridges", &t.bridges}, {"roster", &t.roster},
		{"versions", &t.versions}, {"inbox", &t.inbox}, {"pending", &t.pending},
		{"sessions", &t.sessions}, {"records", &t.records},
	} {
		if *b.at = tx.Bucket([]byte(b.name)); *b.at != nil || !tx.Writable() {
			continue
		}
		var err error
		if *b.at, err = tx.CreateBucket([]byte(b.name)); err != nil {
			return nil, fmt.Errorf("create table %s: %w", b.name, err)
		}
	}
	return t, nil
}

// maxKey keeps keys well below what bbolt takes; a bare JID has at most 2047
// bytes (RFC 7622 §3.1).
const maxKey = 2100

// checkKeys refuses strings that cannot be part of a key.
func checkKeys(parts ...string) error {
	for _, p := range parts {
		if p == "" || len(p) > maxKey || strings.IndexByte(p, 0) >= 0 {
			return ErrOp
		}
	}
	return nil
}

// under is the prefix of all keys of an account.
func under(account string) []byte { return append([]byte(account), 0) }

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func numberBytes(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// add changes a counter and returns its new value; at zero it goes.
func add(b *bbolt.Bucket, key string, delta int) (uint64, error) {
	n := number(b.Get([]byte(key))) + uint64(delta)
	if n == 0 {
		return 0, b.Delete([]byte(key))
	}
	return n, b.Put([]byte(key), numberBytes(n))
}

// clear deletes all keys with a prefix.
func clearUnder(b *bbolt.Bucket, prefix []byte) error {
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	// Deleting while the cursor moves would skip keys.
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
