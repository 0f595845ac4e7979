package mmp

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"

	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

func importUsers(c *call) error {
	file := c.text(0)
	data, err := c.Files.Read(file)
	if err != nil {
		return err
	}
	there, err := c.XMPP.Users(c.ctx)
	if err != nil {
		return err
	}
	taken := make(map[string]bool, len(there))
	for _, u := range there {
		taken[u.Name] = true
	}
	users, err := parseUsers(file, data, taken)
	if err != nil {
		return err
	}
	if err := c.XMPP.ImportUsers(c.ctx, users); err != nil {
		return err
	}
	return c.out.success("%s added; now remove the passwords with 'rm %s'", count(len(users), "chat account"), quote(file))
}

// maxPassword bounds a chat password in bytes, as the server does.
const maxPassword = 1000

// parseUsers reads lines name,password (RFC 4180: quotes, CRLF; spreadsheets
// put a byte order mark in front and semicolons between where the comma is a
// decimal point). The first line that will not do is named in the problem.
func parseUsers(file string, data []byte, taken map[string]bool) ([]xmppapi.Credential, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	bad := func(line int, reason string) error {
		return problem.New(problem.ImportLine, "line", strconv.Itoa(line), "file", file, "reason", reason)
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1
	if i := bytes.IndexAny(data, ",;\n"); i >= 0 && data[i] == ';' {
		r.Comma = ';'
	}
	var users []xmppapi.Credential
	lines := map[string]int{}
	for first := true; ; first = false {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if e, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, bad(e.StartLine, "a double quote is missing or out of place")
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		if len(fields) != 2 {
			return nil, bad(line, "it has "+count(len(fields), "value")+", not name and password")
		}
		name, password := strings.TrimSpace(fields[0]), fields[1]
		if first && strings.EqualFold(name, "name") && strings.EqualFold(strings.TrimSpace(password), "password") {
			continue
		}
		local, err := localPart(name)
		switch {
		case err != nil:
			return nil, bad(line, "'"+name+"' cannot be the name of a chat account")
		case password == "" || len(password) > maxPassword:
			return nil, bad(line, "the password of "+local+" has not 1 to 1000 characters")
		case lines[local] != 0:
			return nil, bad(line, "the name "+local+" is in line "+strconv.Itoa(lines[local])+" already")
		case taken[local]:
			return nil, bad(line, "there is already a chat account "+local)
		}
		lines[local] = line
		users = append(users, xmppapi.Credential{Name: local, Password: password})
	}
	if len(users) == 0 {
		return nil, problem.New(problem.ImportEmpty, "file", file)
	}
	return users, nil
}
