package webadmin

import (
	"io"
	"mime/multipart"
	"net/http"

	"parley/services/account"
	"parley/services/pki"
	"parley/services/problem"
)

// maxFile is the largest key or certificate file that is read anywhere.
const (
	maxFile     = 1 << 20
	maxFileText = "1 MiB"
)

// upload puts one key, request or certificate where SFTP would. What is none
// of these is refused: it would not be on the page.
func (s *Server) upload(w http.ResponseWriter, r *http.Request, v *visitor) error {
	err := s.takeFile(r, v)
	if err != nil && problem.CodeOf(err) == "" {
		return err
	}
	if err != nil {
		return s.certificates(w, r, v, err)
	}
	http.Redirect(w, r, "/configuration/certificates?done=uploaded", http.StatusSeeOther)
	return nil
}

func (s *Server) takeFile(r *http.Request, v *visitor) error {
	if !v.Role.Can(account.Certificates) {
		return errRole(v.Role)
	}
	in, header, err := r.FormFile("file")
	if err != nil {
		return problem.New(problem.FieldMissing, "field", s.words(r).text("certificates.upload.file"))
	}
	defer in.Close()
	data, err := readFile(in, header)
	if err != nil {
		return err
	}
	if _, err := pki.Inspect(oneFile{header.Filename, data}, header.Filename, s.deps.Now()); err != nil {
		if problem.CodeOf(err) == problem.PKIKind {
			err = problem.New(problem.UploadKind, "file", header.Filename)
		}
		return err
	}
	create := s.deps.Files.CreateNew
	if r.PostFormValue("replace") != "" {
		create = s.deps.Files.Create
	}
	u, err := create(v.who(), header.Filename)
	if problem.CodeOf(err) == problem.FileExists {
		err = problem.New(problem.UploadExists, "file", header.Filename)
	}
	if err != nil {
		return err
	}
	defer u.Discard()
	if _, err := u.Write(data); err != nil {
		return err
	}
	return u.Commit()
}

func readFile(in multipart.File, header *multipart.FileHeader) ([]byte, error) {
	if header.Size > maxFile {
		return nil, problem.New(problem.FileLarge, "file", header.Filename, "max", maxFileText)
	}
	return io.ReadAll(in)
}

// oneFile is a pki.Source of what is not stored yet.
type oneFile struct {
	name string
	data []byte
}

// Read implements pki.Source.
func (f oneFile) Read(string) ([]byte, error) { return f.data, nil }

// Names implements pki.Source.
func (f oneFile) Names() ([]string, error) { return []string{f.name}, nil }
