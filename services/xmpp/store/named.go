package store

import (
	"bytes"

	"parley/services/problem"
)

// Records are what the store keeps without knowing what it means: values under
// a key of a named table.

const (
	// maxTable and maxRecordKey keep table and key together below maxKey.
	maxTable     = 64
	maxRecordKey = 1024
	// maxRecordValue bounds a value.
	maxRecordValue = 256 << 10
)

// RecordPut sets values; to do it twice changes nothing more. Where one is too
// large, all are refused as problem.RecordSize.
type RecordPut struct {
	Table   string
	Records []Record
}

// RecordDelete removes keys; those that are not there are no error.
type RecordDelete struct {
	Table string
	Keys  []string
}

// RecordSwap sets the value of a key that has the value Old, empty for none; to
// do it twice changes nothing more. Where it has another, it is refused as
// problem.RecordChanged.
type RecordSwap struct {
	Table, Key string
	Old, Value []byte
}

// Record is a key of a table and its value.
type Record struct {
	Key   string
	Value []byte
}

func (*RecordPut) code() opCode { return opRecordPut }
func (*RecordPut) grows() bool  { return true }
func (o *RecordPut) encode(e *encoder) {
	e.str(o.Table)
	e.uint(uint64(len(o.Records)))
	for _, r := range o.Records {
		e.str(r.Key)
		e.bytes(r.Value)
	}
}
func (o *RecordPut) decode(d *decoder) {
	o.Table = d.str()
	for n := d.count(); n > 0; n-- {
		o.Records = append(o.Records, Record{d.str(), d.bytes()})
	}
}

func (*RecordDelete) code() opCode        { return opRecordDelete }
func (*RecordDelete) grows() bool         { return false }
func (o *RecordDelete) encode(e *encoder) { e.str(o.Table); e.strs(o.Keys) }
func (o *RecordDelete) decode(d *decoder) { o.Table, o.Keys = d.str(), d.strs() }

func (*RecordSwap) code() opCode { return opRecordSwap }
func (*RecordSwap) grows() bool  { return true }
func (o *RecordSwap) encode(e *encoder) {
	e.str(o.Table)
	e.str(o.Key)
	e.bytes(o.Old)
	e.bytes(o.Value)
}
func (o *RecordSwap) decode(d *decoder) {
	o.Table, o.Key, o.Old, o.Value = d.str(), d.str(), d.bytes(), d.bytes()
}

// recordKey is where a record stands; nil where there can be none.
func recordKey(table, key string) []byte {
	if checkKeys(table, key) != nil || len(table) > maxTable || len(key) > maxRecordKey {
		return nil
	}
	return append(under(table), key...)
}

func (t *tables) recordPut(o *RecordPut) (Result, error) {
	for _, r := range o.Records {
		if recordKey(o.Table, r.Key) == nil || len(r.Value) > maxRecordValue {
			return Result{Err: problem.New(problem.RecordSize, "table", o.Table)}, nil
		}
	}
	for _, r := range o.Records {
		if err := t.records.Put(recordKey(o.Table, r.Key), r.Value); err != nil {
			return Result{}, err
		}
	}
	return Result{}, nil
}

func (t *tables) recordSwap(o *RecordSwap) (Result, error) {
	at := recordKey(o.Table, o.Key)
	if at == nil || len(o.Value) > maxRecordValue {
		return Result{Err: problem.New(problem.RecordSize, "table", o.Table)}, nil
	}
	switch now := t.records.Get(at); {
	case now != nil && bytes.Equal(now, o.Value):
		return Result{}, nil
	case !bytes.Equal(now, o.Old):
		return Result{Err: problem.New(problem.RecordChanged, "table", o.Table)}, nil
	}
	return Result{}, t.records.Put(at, o.Value)
}

func (t *tables) recordDelete(o *RecordDelete) (Result, error) {
	for _, k := range o.Keys {
		if at := recordKey(o.Table, k); at != nil {
			if err := t.records.Delete(at); err != nil {
				return Result{}, err
			}
		}
	}
	return Result{}, nil
}

// Records returns a table's, ordered by key.
func (s *Store) Records(table string) (rs []Record, err error) {
	if checkKeys(table) != nil || len(table) > maxTable {
		return nil, nil
	}
	err = s.m.view(func(t *tables) error {
		prefix := under(table)
		c := t.records.Cursor()
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			rs = append(rs, Record{string(k[len(prefix):]), bytes.Clone(v)})
		}
		return nil
	})
	return rs, err
}
