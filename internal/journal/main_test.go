package journal_test

import (
	"flag"
	"os"
	"testing"
)

var long = flag.Bool("journal.long", false, "cut at every byte, fail at every call, more rounds")

// roles are what the test binary does when a test runs it again as a child, so that what ends
// a process ends the child's.
var roles = map[string]func(){}

func TestMain(m *testing.M) {
	if role := roles[os.Getenv("JOURNAL_TEST_ROLE")]; role != nil {
		role()
		os.Exit(0)
	}
	os.Exit(m.Run())
}
