package sshd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gliderlabs/ssh"
	"github.com/pkg/sftp"

	"parley/services/account"
	"parley/services/files"
	"parley/services/problem"
)

// sftp is a session of the SFTP subsystem.
func (s *Server) sftp(ctx context.Context, sess ssh.Session, user account.User) int {
	if err := refusal(user); err != nil {
		return fail(sess.Stderr(), err)
	}
	root := &root{
		store: s.deps.Files,
		who:   files.Who{Name: user.Name, Role: user.Role, Source: sess.RemoteAddr().String()},
		log:   func(err error) { s.log.Error("sftp", "user", user.Name, "error", err) },

		uploads: map[string]*upload{},
	}
	// OpenSSH and PuTTY show no text of the server's, only the four words of
	// the status; but what comes on stderr they do show.
	if v := sess.Context().ClientVersion(); strings.Contains(v, "OpenSSH") || strings.Contains(v, "PuTTY") {
		root.explain = func(err error) { fail(sess.Stderr(), err) }
	}
	server := sftp.NewRequestServer(sess, sftp.Handlers{FileGet: root, FilePut: root, FileCmd: root, FileList: root})
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(); err != nil && !errors.Is(err, io.EOF) {
		return 1
	}
	return 0
}

// root offers the files as the one folder "/". The library hands it cleaned
// absolute paths; a path with a further slash is no file's name, so nothing
// leads out of it. Its methods are called from several goroutines.
type root struct {
	store   *files.Store
	who     files.Who
	log     func(error)
	explain func(error)

	mu sync.Mutex
	// uploads are those under way, by name: a client sets the size of an open
	// file by its handle, and the library makes that a name.
	uploads map[string]*upload
}

var (
	_ sftp.FileReader           = (*root)(nil)
	_ sftp.FileWriter           = (*root)(nil)
	_ sftp.PosixRenameFileCmder = (*root)(nil)
	_ sftp.NameLookupFileLister = (*root)(nil)
)

func name(path string) string { return strings.TrimPrefix(path, "/") }

func (r *root) Fileread(req *sftp.Request) (io.ReaderAt, error) {
	f, err := r.store.Open(r.who, name(req.Filepath))
	if err != nil {
		return nil, r.refused(err)
	}
	return f, nil
}

func (r *root) Filewrite(req *sftp.Request) (io.WriterAt, error) {
	file, flags := name(req.Filepath), req.Pflags()
	if !flags.Creat {
		if _, err := r.store.Stat(r.who, file); err != nil {
			return nil, r.refused(err)
		}
	}
	create := r.store.Append
	if flags.Excl {
		create = r.store.CreateNew
	} else if flags.Trunc {
		create = r.store.Create
	}
	u, err := create(r.who, file)
	if err != nil {
		return nil, r.refused(err)
	}
	up := &upload{r, file, u}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uploads[file] = up
	return up, nil
}

// upload is a file on its way in. It takes its name when the client closes it,
// and not when the connection ends before.
type upload struct {
	root *root
	name string
	*files.Upload
}

func (u *upload) WriteAt(p []byte, off int64) (int, error) {
	n, err := u.Upload.WriteAt(p, off)
	return n, u.root.refused(err)
}

func (u *upload) Close() error {
	u.root.forget(u)
	err := u.Commit()
	u.Discard()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return u.root.refused(err)
}

func (u *upload) TransferError(error) {
	u.root.forget(u)
	u.Discard()
}

func (r *root) forget(u *upload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.uploads[u.name] == u {
		delete(r.uploads, u.name)
	}
}

// setSize answers a client that says how long a file is: scp does so after each
// upload, and OpenSSH's sftp when one is interrupted. A file that is in place
// keeps its length.
func (r *root) setSize(file string, size int64) error {
	r.mu.Lock()
	u := r.uploads[file]
	r.mu.Unlock()
	if u != nil {
		return r.refused(u.SetSize(size))
	}
	i, err := r.store.Stat(r.who, file)
	if err != nil {
		return r.refused(err)
	}
	if i.Size != size {
		return sftp.ErrSSHFxOpUnsupported
	}
	return nil
}

func (r *root) Filecmd(req *sftp.Request) error {
	file := name(req.Filepath)
	switch req.Method {
	case "Setstat":
		// Clients set times and modes after each upload, and report a
		// failure to do so as one of the upload.
		if req.AttrFlags().Size {
			return r.setSize(file, int64(req.Attributes().Size))
		}
		return nil
	case "Remove":
		return r.refused(r.store.Remove(r.who, file))
	case "Rename":
		return r.refused(r.store.Rename(r.who, file, name(req.Target), false))
	case "Mkdir", "Rmdir", "Link", "Symlink":
		return r.refused(problem.New(problem.FlatRoot))
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename is OpenSSH's rename, which replaces.
func (r *root) PosixRename(req *sftp.Request) error {
	return r.refused(r.store.Rename(r.who, name(req.Filepath), name(req.Target), true))
}

func (r *root) Filelist(req *sftp.Request) (sftp.ListerAt, error) {
	file := name(req.Filepath)
	switch req.Method {
	case "List":
		if file != "" {
			return nil, sftp.ErrSSHFxNoSuchFile
		}
		all, err := r.store.List(r.who)
		if err != nil {
			return nil, r.refused(err)
		}
		list := make(listing, 0, len(all))
		for _, i := range all {
			list = append(list, entry{i})
		}
		return list, nil
	case "Stat":
		if file == "" {
			return listing{folder{}}, nil
		}
		i, err := r.store.Stat(r.who, file)
		if problem.CodeOf(err) == problem.FileUnknown || problem.CodeOf(err) == problem.FileName {
			return nil, sftp.ErrSSHFxNoSuchFile
		}
		if err != nil {
			return nil, r.refused(err)
		}
		return listing{entry{i}}, nil
	}
	return nil, sftp.ErrSSHFxOpUnsupported
}

// LookupUserName and LookupGroupName are for long listings.
func (r *root) LookupUserName(string) string  { return "parley" }
func (r *root) LookupGroupName(string) string { return "parley" }

// refused turns an error of the store into a status and its text. What no
// person can mend goes to the log instead.
func (r *root) refused(err error) error {
	if err == nil {
		return nil
	}
	code := problem.CodeOf(err)
	if code == "" {
		r.log(err)
		err = problem.New(problem.Internal, "service", "sshd", "detail", "the file cannot be read or written")
	}
	if r.explain != nil && code != problem.FileUnknown {
		r.explain(err)
	}
	s := status{text: problem.Text(err), code: sftp.ErrSSHFxFailure}
	switch code {
	case problem.FileUnknown:
		s.code = sftp.ErrSSHFxNoSuchFile
	case problem.FileDenied, problem.FileKey, problem.FileLocked, problem.FileInUse, problem.FileReadOnly:
		s.code = sftp.ErrSSHFxPermissionDenied
	}
	return s
}

// status is an SFTP status with a text of ours.
type status struct {
	text string
	code error
}

func (s status) Error() string { return s.text }
func (s status) Unwrap() error { return s.code }

type listing []fs.FileInfo

func (l listing) ListAt(to []fs.FileInfo, off int64) (int, error) {
	if off >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[off:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

// entry is a file as a listing shows it.
type entry struct{ info files.Info }

func (e entry) Name() string       { return e.info.Name }
func (e entry) Size() int64        { return e.info.Size }
func (e entry) ModTime() time.Time { return e.info.Modified }
func (e entry) IsDir() bool        { return false }
func (e entry) Sys() any           { return nil }

// Mode shows locked keys as unreadable and the appliance's own files as
// read-only.
func (e entry) Mode() fs.FileMode {
	switch {
	case e.info.Locked:
		return 0
	case e.info.ReadOnly:
		return 0o440
	}
	return 0o640
}

// folder is the root itself.
type folder struct{}

func (folder) Name() string       { return "/" }
func (folder) Size() int64        { return 0 }
func (folder) ModTime() time.Time { return time.Unix(0, 0) }
func (folder) IsDir() bool        { return true }
func (folder) Sys() any           { return nil }
func (folder) Mode() fs.FileMode  { return fs.ModeDir | 0o750 }
