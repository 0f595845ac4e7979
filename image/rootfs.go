package image

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/u-root/mkuimage/cpio"
)

// Files of the build host that go into the image.
const (
	e2fsckPath       = "/sbin/e2fsck.static"
	certificatesPath = "/etc/ssl/certs/ca-certificates.crt"
	zoneinfoPath     = "/usr/share/zoneinfo"
)

// Programs of the image: one binary that goes by the name it is called by.
const applianceProgram = "bin/appliance"

// modprobe is not at the kernel's default path, see grub.cfg.
var applianceNames = []string{
	"init",
	"bin/callbridge", "bin/console", "bin/database", "bin/eventlog", "bin/modprobe", "bin/network", "bin/sshd", "bin/webadmin", "bin/xmpp",
	"sbin/poweroff", "sbin/reboot",
}

// The uids of services/config and init: each service that needs no root has its
// own. There is no shell to log in with, so no account has one.
const (
	passwdFile = `root:x:0:0:root:/:/
xmpp:x:101:101:XMPP server:/:/
mmp:x:102:102:console and SSH:/:/
events:x:105:105:event log:/:/
callbridge:x:103:103:Call Bridge:/:/
database:x:104:104:Call Bridges' database:/:/
nobody:x:65534:65534:nobody:/:/
`
	groupFile = `root:x:0:
tty:x:5:
parley:x:100:xmpp,mmp,callbridge,database,events
xmpp:x:101:
mmp:x:102:
callbridge:x:103:
database:x:104:
events:x:105:
nogroup:x:65534:
`
	// network answers on loopback; nobody else is asked unless the operator
	// or DHCP says so.
	resolvFile = "nameserver 127.0.0.1\n"
	hostsFile  = "127.0.0.1 localhost\n::1 localhost\n"
)

// baseRecords is the root file system without Go programs and modules.
func baseRecords(version string, manifest []byte) ([]cpio.Record, error) {
	records := []cpio.Record{
		cpio.Directory("bin", 0o755),
		cpio.Directory("dev", 0o755),
		cpio.Directory("etc", 0o755),
		cpio.Directory("lib", 0o755),
		cpio.Directory("proc", 0o555),
		cpio.Directory("run", 0o755),
		cpio.Directory("sbin", 0o755),
		cpio.Directory("state", 0o755),
		cpio.Directory("sys", 0o555),
		cpio.Directory("tmp", 0o1777),
		cpio.Directory("usr", 0o755),
		cpio.Directory("var", 0o755),
		// The kernel opens the console for PID 1 before devtmpfs is there.
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.StaticFile("etc/passwd", passwdFile, 0o644),
		cpio.StaticFile("etc/group", groupFile, 0o644),
		cpio.StaticFile("etc/hosts", hostsFile, 0o644),
		cpio.StaticFile("etc/resolv.conf", resolvFile, 0o644),
		cpio.StaticFile("etc/os-release", fmt.Sprintf("NAME=Parley\nID=parley\nVERSION_ID=%q\nPRETTY_NAME=\"Parley %s\"\n", version, version), 0o644),
		cpio.StaticFile(strings.TrimPrefix(ManifestPath, "/"), string(manifest), 0o644),
	}
	for _, name := range applianceNames {
		target, err := filepath.Rel("/"+path.Dir(name), "/"+applianceProgram)
		if err != nil {
			return nil, fmt.Errorf("link %s: %w", name, err)
		}
		records = append(records, cpio.Symlink(name, target))
	}
	for _, f := range []struct {
		from, to string
		mode     uint64
	}{
		{e2fsckPath, "sbin/e2fsck", 0o755},
		{certificatesPath, "etc/ssl/certs/ca-certificates.crt", 0o644},
	} {
		r, err := fileRecord(f.from, f.to, f.mode)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	zones, err := zoneRecords(zoneinfoPath)
	if err != nil {
		return nil, err
	}
	return append(records, zones...), nil
}

func fileRecord(from, to string, mode uint64) (cpio.Record, error) {
	data, err := os.ReadFile(from)
	if err != nil {
		return cpio.Record{}, fmt.Errorf("root file system: %w", err)
	}
	return cpio.StaticFile(to, string(data), mode), nil
}

// zoneRecords is the time zones: the TZif files (RFC 8536) below dir and links
// to them. posix/ and right/ hold all of them again, and the lower-case files
// are tables for other programs.
func zoneRecords(dir string) ([]cpio.Record, error) {
	var records []cpio.Record
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel == "posix" || rel == "right" {
				return fs.SkipDir
			}
			return nil
		}
		name := path.Join("usr/share/zoneinfo", rel)
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(file)
			if err != nil {
				return err
			}
			if !filepath.IsAbs(target) {
				records = append(records, cpio.Symlink(name, target))
			}
			return nil
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(data, []byte("TZif")) {
			records = append(records, cpio.StaticFile(name, string(data), 0o644))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("time zones: %w", err)
	}
	return records, nil
}

// moduleRecords is /lib/modules/RELEASE.
func moduleRecords(set *moduleSet) ([]cpio.Record, error) {
	base := path.Join("lib/modules", set.tree.Release)
	var records []cpio.Record
	for _, name := range set.Names {
		rel := set.tree.Modules[name].Path
		r, err := fileRecord(filepath.Join(set.tree.Dir, rel), path.Join(base, rel), 0o644)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	index := set.index()
	for _, name := range sortedKeys(index) {
		records = append(records, cpio.StaticFile(path.Join(base, name), index[name], 0o644))
	}
	return records, nil
}
