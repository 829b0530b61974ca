package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

func noteOf(order, id string) fact {
	return fact{Object: object{Kind: kindOrder, Namespace: "travel", Channel: "fliggy", ID: order},
		Order: &orderFact{Notification: v1alpha1.Notification{ID: id}}}
}

// pen writes slowly, and keeps what it wrote together.
type pen struct {
	mu     sync.Mutex
	groups [][]string
	atWork int
	most   int
	result func(fact) result
}

func (p *pen) write(_ context.Context, facts []fact) []result {
	p.mu.Lock()
	p.atWork++
	p.most = max(p.most, p.atWork)
	p.mu.Unlock()
	time.Sleep(time.Second) // in a bubble: no time at all
	p.mu.Lock()
	defer p.mu.Unlock()
	p.atWork--
	var ids []string
	results := make([]result, len(facts))
	for i, f := range facts {
		ids = append(ids, f.Order.Notification.ID)
		results[i] = result{outcome: platform.OutcomeRecorded}
		if p.result != nil {
			results[i] = p.result(f)
		}
	}
	p.groups = append(p.groups, ids)
	return results
}

// What arrives while an object is written goes out together, in order, and each push hears
// what became of its own.
func TestWhatWaitsGoesOutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pen{result: func(f fact) result { return result{outcome: platform.Outcome("of " + f.Order.Notification.ID)} }}
		l := newLines(p.write)
		var all []*waiting
		for i := range 4 {
			all = append(all, l.join(t.Context(), noteOf("1", fmt.Sprint(i))))
			synctest.Wait()
		}
		for i, w := range all {
			if r := l.await(t.Context(), w); r.outcome != platform.Outcome(fmt.Sprintf("of %d", i)) || r.err != nil {
				t.Errorf("push %d: %+v", i, r)
			}
		}
		if want := [][]string{{"0"}, {"1", "2", "3"}}; !slices.EqualFunc(p.groups, want, slices.Equal[[]string]) {
			t.Errorf("written %v, want %v", p.groups, want)
		}
		synctest.Wait()
		if len(l.standing) > 0 {
			t.Errorf("%d objects are remembered for nothing", len(l.standing))
		}
	})
}

// One object has one writer, and all of them together have no more than there are slots.
func TestOneWriterAnObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pen{}
		l := newLines(p.write)
		var all []*waiting
		for i := range 3 * maxWrites {
			for j := range 3 {
				all = append(all, l.join(t.Context(), noteOf(fmt.Sprint(i), fmt.Sprint(i, "-", j))))
			}
		}
		for _, w := range all {
			if r := l.await(t.Context(), w); r.err != nil {
				t.Error(r.err)
			}
		}
		if p.most != maxWrites {
			t.Errorf("%d writes at a time, want %d", p.most, maxWrites)
		}
	})
}

// A group is bounded in number and in weight, and one that is too heavy alone goes alone.
func TestGroupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pen{}
		l := newLines(p.write)
		first := l.join(t.Context(), noteOf("1", "first"))
		synctest.Wait() // it is at work
		all := []*waiting{first}
		for i := range maxGroup + 1 {
			all = append(all, l.join(t.Context(), noteOf("1", fmt.Sprint(i))))
		}
		heavy := noteOf("1", "heavy")
		heavy.Order.Notification.Sealed = strings.Repeat("x", 2*maxGroupWeight)
		all = append(all, l.join(t.Context(), heavy), l.join(t.Context(), noteOf("1", "last")))
		for _, w := range all {
			if r := l.await(t.Context(), w); r.err != nil {
				t.Error(r.err)
			}
		}
		var sizes []int
		for _, group := range p.groups {
			sizes = append(sizes, len(group))
		}
		if want := []int{1, maxGroup, 1, 1, 1}; !slices.Equal(sizes, want) {
			t.Errorf("groups of %v, want %v", sizes, want)
		}
	})
}

// Who gives up leaves the line; what is being written is not taken back.
func TestWhoGivesUpLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pen{}
		l := newLines(p.write)
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		written := l.join(short, noteOf("1", "written"))
		synctest.Wait()
		left, stays := l.join(short, noteOf("1", "left")), l.join(t.Context(), noteOf("1", "stays"))
		for name, w := range map[string]*waiting{"written": written, "left": left} {
			if r := l.await(short, w); !errors.Is(r.err, context.DeadlineExceeded) || r.outcome.Accepted() {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if r := l.await(t.Context(), stays); r.err != nil {
			t.Error(r.err)
		}
		if want := [][]string{{"written"}, {"stays"}}; !slices.EqualFunc(p.groups, want, slices.Equal[[]string]) {
			t.Errorf("written %v, want %v", p.groups, want)
		}
	})
}
