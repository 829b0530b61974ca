package platformtest

import (
	"strings"
	"testing"
)

// RunCheck runs the one check of the suite whose name, behind push/ or ask/, begins so.
func RunCheck(t *testing.T, s Subject, name string) error {
	t.Helper()
	for _, c := range pushChecks {
		if strings.HasPrefix("push/"+c.name, name) {
			return c.run(s)
		}
	}
	for _, c := range askChecks {
		if strings.HasPrefix("ask/"+c.name, name) {
			return c.run(newAsking(s, s.Start(t)))
		}
	}
	t.Fatalf("no check %s", name) // an error would pass for what the check found
	return nil
}

// Complete is complete.
func (s Subject) Complete() error { return s.complete() }

// AsForm is asForm.
var AsForm = asForm
