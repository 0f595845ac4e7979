package problem

// Codes of the files family.
const (
	// FileName: {file} cannot be a file's name.
	FileName Code = "file-name"
	// FileUnknown: there is no file {file}.
	FileUnknown Code = "file-unknown"
	// FileExists: there is a file {file} already.
	FileExists Code = "file-exists"
	// FileDenied: role {role} may not do that with files.
	FileDenied Code = "file-denied"
	// FileKey: {file} is a private key, which role {role} may not read.
	FileKey Code = "file-key"
	// FileNoKey: {file} is no private key.
	FileNoKey Code = "file-no-key"
	// FileLocked: {file} is a locked key.
	FileLocked Code = "file-locked"
	// FileInUse: {file} is used by {use}.
	FileInUse Code = "file-in-use"
	// FileReadOnly: {file} is one of the appliance's own files.
	FileReadOnly Code = "file-read-only"
	// FileLarge: {file} is larger than {max}.
	FileLarge Code = "file-large"
	// FilesFull: there are {max} files.
	FilesFull Code = "files-full"
	// DiskFull: {file} does not fit.
	DiskFull Code = "disk-full"
	// UploadCut: the client gave {file} up in the middle.
	UploadCut Code = "upload-cut"
	// FlatRoot: folders and links are not to be had.
	FlatRoot Code = "flat-root"
	// LegacySCP: a client asks for scp's own protocol, not SFTP.
	LegacySCP Code = "legacy-scp"
)

var files = map[Code]string{
	UploadCut:    "the upload of {file} ended in the middle and the file is as it was before; upload it again",
	FileName:     "{file} cannot be a file name; use up to 100 printable ASCII characters without / \\ and \", no dot first",
	FileUnknown:  "there is no file {file}; 'ls' shows all, and SFTP puts it there",
	FileExists:   "the file {file} exists already; choose another name, or remove it with 'rm {file}'",
	FileDenied:   "role {role} may not do this with files; log in as a user of role admin or crypto",
	FileKey:      "{file} is a private key that role {role} may not read; log in as a user of role admin or crypto",
	FileNoKey:    "{file} is no private key; name a .key file, 'pki list' shows all",
	FileLocked:   "{file} is locked and cannot be read, replaced or renamed; remove it with 'rm {file}' and make a new key",
	FileInUse:    "{file} is in use by {use}; give that other files first",
	FileReadOnly: "{file} is a file of the appliance itself; choose another name",
	FileLarge:    "{file} is larger than {max}; put a smaller file",
	FilesFull:    "there are {max} files, which is the most; remove some with 'rm'",
	DiskFull:     "the disk is too full for {file}; remove files with 'rm'",
	LegacySCP:    "the old scp protocol is not served; use scp without -O (of OpenSSH 9), sftp, pscp or WinSCP",
	FlatRoot:     "there are no folders and links here; put files into the root",
}
