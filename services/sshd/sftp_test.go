package sshd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pkg/sftp"

	"parley/services/account"
	"parley/services/files"
)

const key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"

// local is a folder with a file to upload.
func local(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSFTPPrograms(t *testing.T) {
	n := start(t, nil)
	up := local(t, "up.txt", "uploaded\n")
	down := filepath.Join(t.TempDir(), "down")
	got := func() string {
		b, _ := os.ReadFile(down)
		os.Remove(down)
		return string(b)
	}
	tests := []struct {
		name    string
		stdin   string
		command []string
		status  int
		// output is in what the program says; file of the root holds holds.
		output, file, holds string
		// quiet programs say nothing on standard error.
		quiet      bool
		downloaded string
	}{
		{name: "sftp put", stdin: "put " + up + "\n", command: n.openssh("sftp", "admin@127.0.0.1"), file: "up.txt", holds: "uploaded\n"},
		{name: "sftp put with preserved time", stdin: "put -p " + up + " kept.txt\n", command: n.openssh("sftp", "admin@127.0.0.1"), file: "kept.txt", holds: "uploaded\n"},
		{name: "sftp get", stdin: "get up.txt " + down + "\n", command: n.openssh("sftp", "admin@127.0.0.1"), downloaded: "uploaded\n"},
		{name: "sftp ls", stdin: "ls -l\n", command: n.openssh("sftp", "admin@127.0.0.1"), output: "up.txt"},
		{name: "sftp pwd", stdin: "cd ..\ncd /\npwd\n", command: n.openssh("sftp", "admin@127.0.0.1"), output: "Remote working directory: /\n"},
		{name: "sftp rename and rm", stdin: "rename kept.txt other.txt\nrm other.txt\n", command: n.openssh("sftp", "-b", "-", "admin@127.0.0.1"), file: "other.txt", holds: "no such file"},
		{name: "sftp out of the root", stdin: "get ../../../etc/passwd " + down + "\n", command: n.openssh("sftp", "-b", "-", "admin@127.0.0.1"), status: 1, output: "not found"},
		{name: "sftp into a folder", stdin: "put " + up + " a/b.txt\n", command: n.openssh("sftp", "-b", "-", "admin@127.0.0.1"), status: 1},
		{name: "sftp mkdir", stdin: "mkdir new\n", command: n.openssh("sftp", "-b", "-", "admin@127.0.0.1"), status: 1, output: "FAILURE: there are no folders and links here"},
		{name: "sftp dot file", stdin: "put " + up + " .hidden\n", command: n.openssh("sftp", "-b", "-", "admin@127.0.0.1"), status: 1, output: "cannot be a file name"},
		{name: "sftp rm of a file in use", stdin: "put " + up + " used.crt\nrm used.crt\n", command: n.openssh("sftp", "-b", "-", "admin@127.0.0.1"), status: 1, output: "FAILURE: used.crt is in use by xmpp certs", file: "used.crt", holds: "uploaded\n"},
		{name: "sftp overwrites a file in use", stdin: "put " + local(t, "used.crt", "renewed") + "\n", command: n.openssh("sftp", "-b", "-", "admin@127.0.0.1"), file: "used.crt", holds: "renewed"},
		{name: "scp up", command: n.openssh("scp", up, "admin@127.0.0.1:scp.txt"), file: "scp.txt", holds: "uploaded\n", quiet: true},
		{name: "scp up to the root", command: n.openssh("scp", local(t, "named.txt", "named"), "admin@127.0.0.1:"), file: "named.txt", holds: "named"},
		{name: "scp down", command: n.openssh("scp", "admin@127.0.0.1:/scp.txt", down), downloaded: "uploaded\n"},
		{name: "scp of the old protocol", command: n.openssh("scp", "-O", up, "admin@127.0.0.1:old.txt"), status: 1, output: "FAILURE: the old scp protocol is not served"},
		{name: "pscp up", command: n.putty("pscp", up, "admin@127.0.0.1:pscp.txt"), file: "pscp.txt", holds: "uploaded\n"},
		{name: "pscp down", command: n.putty("pscp", "admin@127.0.0.1:pscp.txt", down), downloaded: "uploaded\n"},
		{name: "pscp list", command: n.putty("pscp", "-ls", "admin@127.0.0.1:"), output: "pscp.txt"},
		{name: "psftp put", stdin: "put " + up + " psftp.txt\nquit\n", command: n.putty("psftp", "admin@127.0.0.1"), file: "psftp.txt", holds: "uploaded\n"},
		{name: "psftp get and list", stdin: "ls\nget psftp.txt " + down + "\nquit\n", command: n.putty("psftp", "admin@127.0.0.1"), output: "psftp.txt", downloaded: "uploaded\n"},
		{name: "psftp mv and rm", stdin: "mv psftp.txt p2.txt\nrm p2.txt\nquit\n", command: n.putty("psftp", "admin@127.0.0.1"), file: "p2.txt", holds: "no such file"},
		{name: "psftp says why", stdin: "rm used.crt\nquit\n", command: n.putty("psftp", "admin@127.0.0.1"), output: "used.crt is in use by xmpp certs; give that other files first"},
		{name: "must change", stdin: "ls\n", command: n.openssh("sftp", "fresh@127.0.0.1"), status: 255, output: "FAILURE: the password must be changed first"},
		{name: "must change, psftp", stdin: "ls\n", command: n.putty("psftp", "fresh@127.0.0.1"), status: 1, output: "FAILURE: the password must be changed first"},
		{name: "api has no files", stdin: "ls\n", command: n.openssh("sftp", "robot@127.0.0.1"), status: 255, output: "FAILURE: user robot of role api has no console and no SFTP"},
		{name: "audit reads the audit log", stdin: "get audit " + down + "\n", command: n.openssh("sftp", "-b", "-", "otto@127.0.0.1")},
		{name: "crypto does not", stdin: "get audit\n", command: n.openssh("sftp", "-b", "-", "carol@127.0.0.1"), status: 1},
		{name: "audit writes nothing", stdin: "put " + up + " o.txt\n", command: n.openssh("sftp", "-b", "-", "otto@127.0.0.1"), status: 1, output: "role audit may not do this", file: "o.txt", holds: "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := n.run(tt.stdin, tt.command...)
			if r.status != tt.status || !strings.Contains(r.out+r.err, tt.output) {
				t.Errorf("%v = %v; want status %d, %q", tt.command, r, tt.status, tt.output)
			}
			if tt.quiet && r.err != "" {
				t.Errorf("%v said %q; want nothing", tt.command, r.err)
			}
			if tt.file != "" && !strings.Contains(n.read(tt.file), tt.holds) {
				t.Errorf("%s holds %q; want %q", tt.file, n.read(tt.file), tt.holds)
			}
			if text := got(); tt.downloaded != "" && text != tt.downloaded {
				t.Errorf("downloaded %q; want %q", text, tt.downloaded)
			}
		})
	}
}

func TestKeysOverSFTP(t *testing.T) {
	n := start(t, nil)
	n.write("a.key", key)
	n.write("hidden.txt", key)
	get := func(user, file string) result {
		return n.run("get "+file+" got\n", n.openssh("sftp", "-b", "-", user+"@127.0.0.1")...)
	}
	for _, user := range []string{"admin", "carol"} {
		if r := get(user, "a.key"); r.status != 0 {
			t.Errorf("%s reads a key: %v; want status 0", user, r)
		}
		if !n.audit.has(user + ": read key a.key: permission granted") {
			t.Errorf("audit = %q; want a line of %s", n.audit.lines, user)
		}
	}
	for _, file := range []string{"a.key", "hidden.txt"} {
		if r := get("otto", file); r.status == 0 || !strings.Contains(r.err, "that role audit may not read") {
			t.Errorf("audit reads %s: %v; want a refusal", file, r)
		}
	}
	n.check(n.files.Lock(files.Who{Name: "admin", Role: account.Admin}, "a.key"))
	script := "-get a.key got\n-rename a.key b.txt\n-put " + local(t, "x", "x") + " a.key\nls -l a.key\nrm a.key\n"
	r := n.run(script, n.openssh("sftp", "-b", "-", "admin@127.0.0.1")...)
	if c := strings.Count(r.err, "a.key is locked and cannot be read, replaced or renamed"); r.status != 0 || c != 3 {
		t.Errorf("work on a locked key: %d refusals, %v; want 3, status 0", c, r)
	}
	if !strings.Contains(r.out, "----------") {
		t.Errorf("ls -l = %q; want a file without permissions", r.out)
	}
}

func (n *node) sftp() *sftp.Client {
	n.t.Helper()
	c, err := n.dial("admin")
	n.check(err)
	client, err := sftp.NewClient(c)
	n.check(err)
	return client
}

func TestAbortedUploadLeavesTheOldFile(t *testing.T) {
	n := start(t, nil)
	n.write("f", "old")
	c := n.sftp()
	f, err := c.Create("/f")
	n.check(err)
	_, err = f.Write([]byte(strings.Repeat("new", 100000)))
	n.check(err)
	if got := n.read("f"); got != "old" {
		t.Errorf("during the upload f holds %q; want %q", got, "old")
	}
	temp := func() int {
		left, _ := filepath.Glob(filepath.Join(n.dir, "files", ".new-*"))
		return len(left)
	}
	if temp() != 1 {
		t.Fatalf("%d temporary files; want 1", temp())
	}
	c.Close()
	eventually(t, "the upload is discarded", func() bool { return temp() == 0 })
	if got := n.read("f"); got != "old" {
		t.Errorf("after the abort f holds %q; want %q", got, "old")
	}
}

func TestLibraryClient(t *testing.T) {
	n := start(t, nil)
	n.write("f", "0123456789")
	n.write("g", "other")
	c := n.sftp()
	f, err := c.OpenFile("/f", os.O_WRONLY)
	n.check(err)
	_, err = f.WriteAt([]byte("ab"), 2)
	n.check(err)
	n.check(f.Close())
	if got := n.read("f"); got != "01ab456789" {
		t.Errorf("after a write without truncation f holds %q; want 01ab456789", got)
	}
	if _, err := c.OpenFile("/f", os.O_WRONLY|os.O_CREATE|os.O_EXCL); err == nil {
		t.Error("exclusive create of a file that is there = nil; want an error")
	}
	if _, err := c.OpenFile("/none", os.O_WRONLY); !os.IsNotExist(err) {
		t.Errorf("open of a file that is not there = %v; want not exist", err)
	}
	if err := c.Rename("/f", "/g"); err == nil {
		t.Error("Rename over a file = nil; want an error")
	}
	n.check(c.PosixRename("/f", "/g"))
	if got := n.read("g"); got != "01ab456789" {
		t.Errorf("after PosixRename g holds %q; want 01ab456789", got)
	}
	for _, path := range []string{"/../../etc/passwd", "/a/b", "//", "/..", "/\x00", "/.new-1"} {
		if f, err := c.Open(path); err == nil {
			if _, err := f.Read(make([]byte, 1)); err == nil {
				t.Errorf("Open(%q) reads; want an error", path)
			}
		}
		if f, err := c.Create(path); err == nil {
			t.Errorf("Create(%q) = nil; want an error", path)
			f.Close()
		}
	}
	if err := c.Symlink("/etc/passwd", "/link"); err == nil {
		t.Error("Symlink = nil; want an error")
	}
}

func TestManyUploadsAtOnce(t *testing.T) {
	n := start(t, nil)
	c := n.sftp()
	var wg sync.WaitGroup
	text := strings.Repeat("0123456789abcdef", 40000)
	for i := range 8 {
		wg.Go(func() {
			f, err := c.Create(fmt.Sprintf("/f%d", i%4))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := f.ReadFromWithConcurrency(strings.NewReader(text), 8); err != nil {
				t.Error(err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 4 {
		if got := n.read(fmt.Sprintf("f%d", i)); got != text {
			t.Errorf("f%d has %d bytes; want the %d written", i, len(got), len(text))
		}
	}
}
