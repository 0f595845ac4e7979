package problem

// Codes of the diagnosis.
const (
	// DiagnoseFailed: {failed} of {checks} have failed.
	DiagnoseFailed Code = "diagnose-failed"
)

var diagnosis = map[Code]string{
	DiagnoseFailed: "{failed} of {checks} failed; type the commands that end the lines with FAIL, the first one first",
}
