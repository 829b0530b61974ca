package platformtest

import (
	"fmt"
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
	return fmt.Errorf("no check %s", name)
}

// Complete is complete.
func (s Subject) Complete() error { return s.complete() }

// AsForm is asForm.
var AsForm = asForm
