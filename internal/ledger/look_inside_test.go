package ledger

import (
	"errors"
	"fmt"
	"testing"
)

// Whoever asks whether the journal keeps something of an object holds the lock that pushes wait for:
// it is known, and not looked for among all that is set aside.
func TestWhatIsKeptOfAnObjectIsKnown(t *testing.T) {
	d := openDesk(t, 0, nil)
	asks := func() float64 {
		return testing.AllocsPerRun(20, func() {
			if err := d.nothingKept(factOf("b", "free").Object, true); err != nil {
				t.Fatal(err)
			}
		})
	}
	before := asks()
	var facts []fact
	for i := range 2000 {
		facts = append(facts, factOf("a", fmt.Sprint(i)))
	}
	d.put(facts...)
	asideOf, reasons := facts[0].Object, map[uint64]string{}
	for _, f := range facts {
		records, err := d.journal.Of(f.Object.name(), 1)
		if err != nil {
			t.Fatal(err)
		}
		reasons[records[0].Seq] = "refused"
	}
	if err := d.journal.SetAside(reasons); err != nil {
		t.Fatal(err)
	}
	if after := asks(); after > before {
		t.Errorf("it takes %v allocations, and %v with nothing set aside", after, before)
	}
	if err := d.nothingKept(asideOf, true); !errors.Is(err, errBehind) {
		t.Errorf("of what is set aside: %v", err)
	}
}
