// Package files is the SFTP root: one flat folder of what people put on the
// appliance and fetch from it, certificates and keys above all. It decides who
// may read, write and remove what. It does not know what a certificate is for,
// nor does it speak SFTP.
package files

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parley/services/account"
	"parley/services/durable"
	"parley/services/journal"
	"parley/services/problem"
)

// Who is the person on whose behalf a method acts.
type Who struct {
	Name string
	Role account.Role
	// Source is an address or a terminal's name, for the audit log.
	Source string
}

// Auditor records what was done; *journal.Journal is one. When it fails, a key
// is not handed out.
type Auditor interface {
	Audit(user, source, command, verdict string) error
}

// Virtual is a file that can be fetched but is kept elsewhere.
type Virtual struct {
	Name string
	// Path is where it is kept; while nothing is there it is not listed.
	Path string
	// Needs is the permission to see it.
	Needs account.Permission
}

// Config says where the files are.
type Config struct {
	// Dir is the root.
	Dir string
	// State is the folder that keeps which keys are locked.
	State string
	// Virtual files are in the listing as well.
	Virtual []Virtual
}

// Deps are what a store works with. All but Audit may be nil; a service that
// only calls Read needs none.
type Deps struct {
	Audit Auditor
	// InUse says what a file is used for, as "xmpp certs", or "".
	InUse func(name string) string
	// Free returns the bytes free and in total on dir's file system.
	Free func(dir string) (free, total uint64, err error)
}

// Store is the SFTP root. Its methods may be called from any goroutine, and
// any number of processes may have a store on the same folder.
type Store struct {
	cfg  Config
	deps Deps
}

// NewStore returns the store of cfg.Dir. It does no I/O: see Prepare.
func NewStore(cfg Config, deps Deps) *Store {
	if deps.InUse == nil {
		deps.InUse = func(string) string { return "" }
	}
	if deps.Free == nil {
		deps.Free = free
	}
	return &Store{cfg: cfg, deps: deps}
}

// Info describes a file.
type Info struct {
	Name     string
	Size     int64
	Modified time.Time
	// Locked keys are unreadable; only the services still read them.
	Locked bool
	// ReadOnly files are virtual.
	ReadOnly bool
}

// staleUpload is how long an upload may pause before Prepare takes it for one
// that a crash left.
const staleUpload = time.Hour

// Prepare makes the folder and removes what a crash left in it. It may be
// called while other processes upload.
func (s *Store) Prepare() error {
	if err := os.MkdirAll(s.cfg.Dir, 0o750); err != nil {
		return fmt.Errorf("make the files folder: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(s.cfg.Dir, durable.TempPrefix+"*"))
	if err != nil {
		return fmt.Errorf("list %s: %w", s.cfg.Dir, err)
	}
	for _, p := range left {
		if fi, err := os.Lstat(p); err == nil && time.Since(fi.ModTime()) > staleUpload {
			if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove %s: %w", p, err)
			}
		}
	}
	return nil
}

const maxName = 100

// CheckName says whether name can be a file's. Names are 1 to 100 printable
// ASCII characters without slash, backslash and double quote, no dot first, no
// blank first or last. So no name leads out of the root, is hidden, or needs
// more than double quotes on a command line.
func CheckName(name string) error {
	ok := name != "" && len(name) <= maxName && name[0] != '.' && strings.TrimSpace(name) == name &&
		!strings.ContainsAny(name, `/\"`) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' })
	if !ok {
		return problem.New(problem.FileName, "file", strconv.QuoteToASCII(name))
	}
	return nil
}

// List returns what who may see, by name.
func (s *Store) List(who Who) ([]Info, error) {
	if err := s.may(who, account.Console); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list files: %w", err)
	}
	locked, err := s.locked()
	if err != nil {
		return nil, err
	}
	var list []Info
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || !fi.Mode().IsRegular() || CheckName(e.Name()) != nil {
			continue
		}
		list = append(list, info(fi, locked))
	}
	for _, v := range s.cfg.Virtual {
		if fi, err := os.Stat(v.Path); err == nil && who.Role.Can(v.Needs) {
			list = append(list, Info{Name: v.Name, Size: fi.Size(), Modified: fi.ModTime(), ReadOnly: true})
		}
	}
	slices.SortFunc(list, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// Stat describes one file that who may see.
func (s *Store) Stat(who Who, name string) (Info, error) {
	if err := s.may(who, account.Console); err != nil {
		return Info{}, err
	}
	if v, ok := s.virtual(name); ok {
		fi, err := os.Stat(v.Path)
		if err != nil || !who.Role.Can(v.Needs) {
			return Info{}, unknown(name)
		}
		return Info{Name: name, Size: fi.Size(), Modified: fi.ModTime(), ReadOnly: true}, nil
	}
	fi, err := s.stat(name)
	if err != nil {
		return Info{}, err
	}
	locked, err := s.locked()
	if err != nil {
		return Info{}, err
	}
	return info(fi, locked), nil
}

// Open opens a file for reading; the caller closes it. A key needs the
// permission Certificates, must not be locked, and its reading is audited.
func (s *Store) Open(who Who, name string) (*os.File, error) {
	if err := s.may(who, account.Console); err != nil {
		return nil, err
	}
	if v, ok := s.virtual(name); ok {
		if !who.Role.Can(v.Needs) {
			return nil, unknown(name)
		}
		f, err := os.Open(v.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, unknown(name)
		}
		return f, err
	}
	f, err := s.open(name)
	if err != nil {
		return nil, err
	}
	if err := s.mayRead(who, name, f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (s *Store) mayRead(who Who, name string, f *os.File) error {
	head, err := io.ReadAll(io.NewSectionReader(f, 0, maxRead))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if !isKey(name, head) {
		return nil
	}
	if !who.Role.Can(account.Certificates) {
		return s.deny(who, "read key "+name, problem.New(problem.FileKey, "file", name, "role", string(who.Role)))
	}
	if locked, err := s.locked(); err != nil {
		return err
	} else if slices.Contains(locked, name) {
		return s.deny(who, "read key "+name, problem.New(problem.FileLocked, "file", name))
	}
	return s.audit(who, "read key "+name)
}

// maxRead bounds what Read returns; no key or certificate file is longer.
const maxRead = 1 << 20

// Read returns a file's content for the appliance itself, which may read
// locked keys too: nothing is audited, nobody's permission is asked. What came
// of it must not be shown where it holds a key.
func (s *Store) Read(name string) ([]byte, error) {
	f, err := s.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRead+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxRead {
		return nil, problem.New(problem.FileLarge, "file", name, "max", "1 MiB")
	}
	return data, nil
}

// Names returns the names of all files, by name, virtual ones left out.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list files: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (s *Store) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

func (s *Store) open(name string) (*os.File, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path(name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unknown(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return f, nil
}

func (s *Store) stat(name string) (fs.FileInfo, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	fi, err := os.Lstat(s.path(name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.Mode().IsRegular() {
		return nil, unknown(name)
	}
	if err != nil {
		return nil, fmt.Errorf("stat %s: %w", name, err)
	}
	return fi, nil
}

// exists is for the holder of the lock.
func (s *Store) exists(name string) (bool, error) {
	_, err := s.stat(name)
	if problem.CodeOf(err) == problem.FileUnknown {
		return false, nil
	}
	return err == nil, err
}

func (s *Store) virtual(name string) (Virtual, bool) {
	for _, v := range s.cfg.Virtual {
		if v.Name == name {
			return v, true
		}
	}
	return Virtual{}, false
}

func (s *Store) may(who Who, p account.Permission) error {
	if !who.Role.Can(p) {
		return problem.New(problem.FileDenied, "role", string(who.Role))
	}
	return nil
}

func (s *Store) audit(who Who, what string) error {
	if s.deps.Audit == nil {
		return nil
	}
	if err := s.deps.Audit.Audit(who.Name, who.Source, what, journal.Granted); err != nil {
		return fmt.Errorf("audit %q: %w", what, err)
	}
	return nil
}

// deny records a refusal; the refusal stands whether or not that works.
func (s *Store) deny(who Who, what string, why error) error {
	if s.deps.Audit == nil {
		return why
	}
	return errors.Join(why, s.deps.Audit.Audit(who.Name, who.Source, what, journal.Denied))
}

func info(fi fs.FileInfo, locked []string) Info {
	return Info{Name: fi.Name(), Size: fi.Size(), Modified: fi.ModTime(), Locked: slices.Contains(locked, fi.Name())}
}

func unknown(name string) error { return problem.New(problem.FileUnknown, "file", name) }

// isKey reports whether a file holds a private key: by its name, by a PEM
// label of any kind of private key, or by its DER form. PKCS #12 files do.
func isKey(name string, head []byte) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".key", ".ppk", ".p12", ".pfx":
		return true
	}
	return bytes.Contains(head, []byte("PRIVATE KEY-----")) ||
		bytes.HasPrefix(head, []byte("PuTTY-User-Key-File")) || isKeyDER(head)
}
