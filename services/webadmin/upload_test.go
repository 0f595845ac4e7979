package webadmin

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"

	"parley/services/account"
	"parley/services/files"
)

// send uploads a file with a page's token.
func (b *browser) send(name, content string, fields ...string) response {
	b.t.Helper()
	m := tokenField.FindStringSubmatch(b.get("/password").body)
	if m == nil {
		b.t.Fatal("no token on the page")
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	fields = append(fields, formField, m[1])
	for i := 0; i < len(fields); i += 2 {
		check(b.t, w.WriteField(fields[i], fields[i+1]))
	}
	if name != "" {
		part, err := w.CreateFormFile("file", name)
		check(b.t, err)
		_, err = part.Write([]byte(content))
		check(b.t, err)
	}
	check(b.t, w.Close())
	req, err := http.NewRequestWithContext(b.t.Context(), "POST", b.url+"/configuration/certificates", &body)
	check(b.t, err)
	req.Header.Set("Content-Type", w.FormDataContentType())
	resp, err := b.http.Do(req)
	check(b.t, err)
	defer resp.Body.Close()
	var out bytes.Buffer
	_, err = out.ReadFrom(resp.Body)
	check(b.t, err)
	return response{resp.StatusCode, out.String(), resp.Header}
}

func TestUpload(t *testing.T) {
	s := newSite(t)
	crt, err := os.ReadFile(s.file("web.crt"))
	check(t, err)
	key, err := os.ReadFile(s.file("web.key"))
	check(t, err)
	check(t, os.WriteFile(s.file("locked.key"), key, 0o600))
	check(t, s.deps.Files.Lock(files.Who{Role: account.Admin}, "locked.key"))
	b := s.loggedIn("admin")
	tests := []struct {
		name, file, content string
		fields              []string
		status              int
		failure             string
	}{
		{"certificate", "abhiall.cer", string(crt), nil, http.StatusSeeOther, ""},
		{"key", "abhiall.key", string(key), nil, http.StatusSeeOther, ""},
		{"taken", "abhiall.cer", string(crt), nil, http.StatusBadRequest, "the file abhiall.cer exists already; choose it again and tick that it is to replace the old one"},
		{"replaced", "abhiall.cer", string(crt) + string(crt), []string{"replace", "yes"}, http.StatusSeeOther, ""},
		{"no file", "", "", nil, http.StatusBadRequest, "'Key or certificate' is empty"},
		{"neither", "notes.txt", "hello", nil, http.StatusBadRequest, "notes.txt holds neither a key nor a certificate nor a request for one; choose"},
		{"damaged", "x.cer", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", nil, http.StatusBadRequest, "x.cer is damaged"},
		{"hidden", ".x.cer", string(crt), nil, http.StatusBadRequest, "cannot be a file name"},
		{"locked", "locked.key", string(key), []string{"replace", "yes"}, http.StatusBadRequest, "locked.key is locked"},
		{"large", "large.cer", string(crt) + strings.Repeat("\n", maxFile), nil, http.StatusBadRequest, "large.cer is larger than 1 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, _ := os.ReadFile(s.file(tt.file))
			got := b.send(tt.file, tt.content, tt.fields...)
			wantText(t, got, tt.status, tt.failure)
			after, _ := os.ReadFile(s.file(tt.file))
			want := tt.content
			if tt.failure != "" {
				want = string(before)
			}
			if tt.file != "" && string(after) != want {
				t.Errorf("%s is now %q; want %q", tt.file, after, want)
			}
		})
	}
	wantText(t, b.get("/configuration/certificates?done=uploaded"), http.StatusOK, "The file is stored.", "abhiall.cer bundle of certificates", "abhiall.key private key", "Upload")
	// A path that a browser sends is no way out of the folder.
	if got := b.send("../../etc/evil.cer", string(crt)); got.status != http.StatusSeeOther {
		t.Errorf("a file with a path = %d\n%s; want it by its last part", got.status, got.text())
	}
	if _, err := os.Stat(s.file("evil.cer")); err != nil {
		t.Error(err)
	}
	app := s.loggedIn("app")
	if got := app.get("/configuration/certificates"); strings.Contains(got.body, `type="file"`) {
		t.Errorf("an appadmin is offered to upload:\n%s", got.body)
	}
	wantText(t, app.send("app.cer", string(crt)), http.StatusForbidden, "your role appadmin does not permit this")
	if _, err := os.Stat(s.file("app.cer")); err == nil {
		t.Error("an appadmin has uploaded a file")
	}
}
