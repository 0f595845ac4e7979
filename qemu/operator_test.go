package qemu_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"parley/qemu"
)

// adminPassword is what the tests set at the first login.
const adminPassword = "Harbour-Lamp-7"

// operator works on an appliance as the article's does: by SSH, SFTP and
// openssl, all of them Debian's.
type operator struct {
	t    *testing.T
	host string
	port string
	// from calls f where the appliance can be reached from.
	from func(f func() error) error
}

func newOperator(t *testing.T, vm *qemu.VM) *operator {
	t.Helper()
	host, port, err := net.SplitHostPort(vm.Address(22))
	if err != nil {
		t.Fatalf("the SSH port is not forwarded: %v", err)
	}
	return &operator{t, host, port, func(f func() error) error { return f() }}
}

// sshOptions make OpenSSH ask for a password and remember no host.
var sshOptions = []string{
	"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
	"-o", "PubkeyAuthentication=no", "-o", "ConnectTimeout=30",
}

// terminal is an interactive SSH session: what a person types and sees.
func (o *operator) terminal(password string) *qemu.Console {
	o.t.Helper()
	cmd := exec.Command("ssh", append(sshOptions, "-p", o.port, "admin@"+o.host)...)
	var f *os.File
	err := o.from(func() (err error) {
		f, err = pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 200})
		return err
	})
	if err != nil {
		o.t.Fatalf("start ssh: %v", err)
	}
	c, err := qemu.NewConsole(f, "")
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		c.Close()
	})
	o.expect(c, "assword:")
	o.typed(c, password)
	return c
}

func (o *operator) expect(c *qemu.Console, texts ...string) string {
	o.t.Helper()
	output, _, err := c.Expect(o.t.Context(), texts...)
	if err != nil {
		o.t.Fatal(err)
	}
	return output
}

func (o *operator) typed(c *qemu.Console, line string) {
	o.t.Helper()
	if err := c.SendLine(line); err != nil {
		o.t.Fatal(err)
	}
}

// command types a line at the prompt and returns what is printed up to the
// next prompt, which is host's.
func (o *operator) command(c *qemu.Console, host, line string) string {
	o.t.Helper()
	o.typed(c, line)
	return o.expect(c, "\n"+host+"> ")
}

// succeed is command for one that must print SUCCESS.
func (o *operator) succeed(c *qemu.Console, host, line string) string {
	o.t.Helper()
	output := o.command(c, host, line)
	if !strings.Contains(output, "SUCCESS") {
		o.t.Errorf("%s> %s\nprinted\n%s\nwant SUCCESS", host, line, output)
	}
	return output
}

// exec runs one command by SSH without a terminal.
func (o *operator) exec(line string) (output string, status int) {
	o.t.Helper()
	return o.program("ssh", append(sshOptions, "-p", o.port, "admin@"+o.host, line)...)
}

// sftp runs a batch of SFTP commands.
func (o *operator) sftp(dir, batch string) {
	o.t.Helper()
	file := filepath.Join(o.t.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(batch), 0o600); err != nil {
		o.t.Fatal(err)
	}
	// -b alone would forbid passwords.
	args := append([]string{"-o", "BatchMode=no", "-b", file, "-P", o.port}, sshOptions...)
	if output, status := o.programIn(dir, "sftp", append(args, "admin@"+o.host)...); status != 0 {
		o.t.Fatalf("sftp: exit status %d\n%s", status, output)
	}
}

func (o *operator) program(name string, args ...string) (output string, status int) {
	o.t.Helper()
	return o.programIn("", name, args...)
}

func (o *operator) programIn(dir, name string, args ...string) (output string, status int) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sshpass", append([]string{"-e", name}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SSHPASS="+adminPassword)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := o.from(cmd.Start); err != nil {
		o.t.Fatalf("%s: %v", name, err)
	}
	_ = cmd.Wait() // the exit status tells
	return out.String(), cmd.ProcessState.ExitCode()
}
