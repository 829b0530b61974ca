package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// inWords are the numbers and times that the pages write out.
var inWords = map[any]string{
	5: "five", 8: "eight", 20: "twentieth", 250 * time.Millisecond: "quarter of a second", 5 * time.Second: "five seconds",
	time.Second: "a second", time.Minute: "a minute", time.Hour: "an hour", time.Second / 10: "ten times a second",
}

func word(t *testing.T, value any) string {
	t.Helper()
	text, known := inWords[value]
	if !known {
		t.Errorf("how do the pages say %v?", value)
	}
	return text
}

// The pages say the numbers that the code has.
func TestPagesSayTheNumbersOfTheCode(t *testing.T) {
	kept, err := journal.Open(journal.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	ms, s := lineBudget.Milliseconds(), int(commitBudget.Seconds())
	if 2*maxDrainers != 3*2*maxWrites {
		t.Errorf("%d objects are drained at a time and %d written: the design says half as many again", maxDrainers, 2*maxWrites)
	}
	for page, sentences := range map[string][]string{
		"operations.md": {
			fmt.Sprintf("it would stand in line for longer than %d ms", ms),
			fmt.Sprintf("%d objects of a Channel are written at a time (%d of all together", maxWrites, 2*maxWrites),
			fmt.Sprintf("the journal keeps more than %d records of its Channel", maxBacklog),
			fmt.Sprintf("it is not written %d s after it came", s),
			fmt.Sprintf("every %s to every %s", word(t, firstDrainRetry), word(t, lastDrainRetry)),
			fmt.Sprintf("up to %d objects at a time, of one Channel %d,", maxDrainers, maxDrainers/2),
			fmt.Sprintf("after a %s to %s, and keeps no other waiting", word(t, firstHold), word(t, lastHold)),
			fmt.Sprintf("after %s at the most; when %s objects in a row fail like that, their Channel has such a pause", word(t, lastDrainRetry), word(t, severalFail)),
			fmt.Sprintf("taken to be %d records a second", assumedRate),
			fmt.Sprintf("| `channel_operator_journal_bytes` | gauge | | what waits and what is set aside, of %d MiB |", kept.MaxBytes()>>20),
			fmt.Sprintf("as last measured; %d before it was", assumedRate),
			fmt.Sprintf("A push waits for it for %s,", word(t, diskBudget)),
			fmt.Sprintf("| time in line for an object | %d ms |", ms),
			fmt.Sprintf("| time to write a push | %d s |", s),
			fmt.Sprintf("| objects written at a time | %d, of one Channel %d |", 2*maxWrites, maxWrites),
			fmt.Sprintf("| objects written at a time | %d, of one Channel %d;", 2*maxWrites, maxWrites),
			fmt.Sprintf("| of an order %d, or %d KiB; of a product %d |", maxGroup, maxGroupWeight>>10, maxProductGroup),
			fmt.Sprintf("| the journal | %d MiB |", kept.MaxBytes()>>20),
			fmt.Sprintf("| notices of a Channel | %d |", maxNotices),
		},
		"design/0004-one-writer-and-a-journal.md": {
			fmt.Sprintf("%d objects of a Channel are written at a time, and %d of all", maxWrites, 2*maxWrites),
			fmt.Sprintf("at most %d notifications, or %d KiB", maxGroup, maxGroupWeight>>10),
			fmt.Sprintf("which come to one for each aspect, it is %d", maxProductGroup),
			fmt.Sprintf("stand in line for longer than %d ms, or has done so; after %d s in all", ms, s),
			fmt.Sprintf("keeps more than %d records of a Channel already", maxBacklog),
			fmt.Sprintf("in line for longer than %d s is told \"try again\" at once, or than %d ms", s, ms),
			fmt.Sprintf("What waits for it for %s stands in line as well", word(t, diskBudget)),
			fmt.Sprintf("It looks %s what has come, or as often as a %s of the time", word(t, lookPause), word(t, lookShare)),
			fmt.Sprintf("and never less than %s:", word(t, minDrainers)),
			fmt.Sprintf("when this process has tried for %s:", word(t, asideAfter)),
			fmt.Sprintf("when %s different objects have failed like that", word(t, severalFail)),
			fmt.Sprintf("the %d writers, and the drain,", 2*maxWrites),
			fmt.Sprintf("%d MiB of records", kept.MaxBytes()>>20),
		},
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", filepath.FromSlash(page)))
		if err != nil {
			t.Fatal(err)
		}
		oneLine := strings.Join(strings.Fields(string(text)), " ")
		for _, sentence := range sentences {
			if !strings.Contains(oneLine, sentence) {
				t.Errorf("%s does not say %q", page, sentence)
			}
		}
	}
}
