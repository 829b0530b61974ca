//go:build linux && (amd64 || arm64)

package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

func init() { roles["writer"] = write }

// writer is the child that is struck. Before and after everything that it does it says so, with
// one write to a pipe each; a Put that failed is tried again under another id.
type writer struct {
	dir string
	j   *journal.Journal
	ids atomic.Int64
}

func say(format string, a ...any) { _, _ = os.Stdout.WriteString(fmt.Sprintf(format, a...) + "\n") }

func write() {
	w := &writer{dir: os.Getenv("JOURNAL_TEST_DIR")}
	w.open(1 << 30)
	a, b, c := w.put(100), w.put(200), w.put(9000)
	w.change("aside", a)
	w.change("delete", b)
	w.change("restore", a)
	w.change("aside", c)
	var together sync.WaitGroup
	for range 2 {
		together.Go(func() { w.change("delete", w.put(300)); w.put(400) })
	}
	together.Wait()
	w.change("delete", w.put(40_000)) // the file grows
	w.close()
	w.open(1000) // and is written anew
	w.put(500)
	w.close()
	say("done")
}

func (w *writer) open(compact int64) {
	w.retry("open", func() (err error) {
		w.j, err = journal.Open(journal.Options{Dir: w.dir}.Impatient(time.Millisecond).CompactAbove(compact))
		return err
	})
}

func (w *writer) close() {
	if err := w.j.Close(); err != nil {
		say("close: %v", err)
	}
}

// retry does something until it succeeds.
func (*writer) retry(what string, do func() error) {
	var err error
	for range 500 {
		if err = do(); err == nil {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	say("%s goes on failing: %v", what, err)
	os.Exit(4)
}

func (w *writer) put(size int) (id int64) {
	w.retry("put", func() error {
		id = w.ids.Add(1)
		say("try put %d", id)
		return w.j.Put(context.Background(), objectOf(id), payload(id, size)) //nolint:forbidigo // a child has no t
	})
	say("ok put %d", id)
	return id
}

func objectOf(id int64) string { return fmt.Sprint("object ", id%3) }

// payload is an id's data.
func payload(id int64, size int) []byte {
	head := fmt.Sprintf("%d %d ", id, size)
	return append([]byte(head), bytes.Repeat([]byte{'a' + byte(id%26)}, size)...)
}

// whole is the id of data, which must be all of it.
func whole(data []byte) (id int64, err error) {
	var size int
	if _, err := fmt.Sscan(string(data), &id, &size); err != nil {
		return 0, err
	}
	if !bytes.Equal(data, payload(id, size)) {
		return 0, fmt.Errorf("the data of %d is not what was put", id)
	}
	return id, nil
}

// change does something to the record of an id.
func (w *writer) change(what string, id int64) {
	say("try %s %d", what, id)
	w.retry(what, func() error {
		seq, err := w.seq(id)
		if err != nil {
			return err
		}
		switch what {
		case "delete":
			return w.j.Delete(seq)
		case "aside":
			return w.j.SetAside(map[uint64]string{seq: fmt.Sprint(id)})
		default:
			return w.j.Restore(seq)
		}
	})
	say("ok %s %d", what, id)
}

// seq finds an id's record. One that is not there any more has been deleted by an attempt that
// failed.
func (w *writer) seq(id int64) (uint64, error) {
	records, err := w.j.Of(objectOf(id), 1000)
	if err != nil {
		return 0, err
	}
	for _, r := range records {
		if found, _ := whole(r.Data); found == id {
			return r.Seq, nil
		}
	}
	for _, a := range w.j.Asides() {
		if a.Reason == fmt.Sprint(id) {
			return a.Seq, nil
		}
	}
	if w.j.Stats().Failed {
		return 0, journal.ErrFailed
	}
	return 0, nil
}

// fact is what is known of an id from what the child said.
type fact struct{ tried, done map[string]bool }

// facts reads what a child said. For what is set aside and restored the last word counts.
func facts(calls []call) map[int64]fact {
	all := map[int64]fact{}
	for _, c := range calls {
		var way, what string
		var id int64
		if n, _ := fmt.Sscan(c.line, &way, &what, &id); n < 3 {
			continue
		}
		if all[id].done == nil {
			all[id] = fact{tried: map[string]bool{}, done: map[string]bool{}}
		}
		f := all[id]
		if other := map[string]string{"aside": "restore", "restore": "aside"}[what]; way == "ok" && other != "" {
			f.tried[other], f.done[other] = false, false
		}
		if f.tried[what] = true; way == "ok" {
			f.done[what] = true
		}
	}
	return all
}

// inspect opens what is left of a journal and compares it with what the child said.
func inspect(dir string, calls []call) error {
	j, err := journal.Open(journal.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { _ = j.Close() }()
	waiting, err := ids(j)
	if err != nil {
		return err
	}
	var aside []int64
	var seqs []uint64
	for _, a := range j.Asides() {
		var id int64
		if _, err := fmt.Sscan(a.Reason, &id); err != nil || a.Object != objectOf(id) {
			return fmt.Errorf("set aside: %+v", a)
		}
		aside, seqs = append(aside, id), append(seqs, a.Seq)
	}
	if err := compare(facts(calls), waiting, aside); err != nil {
		return err
	}
	if err := j.Restore(seqs...); err != nil {
		return err
	}
	all, err := ids(j)
	if want := slices.Sorted(slices.Values(slices.Concat(waiting, aside))); err == nil && !slices.Equal(all, want) {
		err = fmt.Errorf("all restored there are %v, not %v", all, want)
	}
	return err
}

// ids are those of all waiting records, which must be whole.
func ids(j *journal.Journal) ([]int64, error) {
	var all []int64
	for _, object := range j.Objects() {
		records, err := j.Of(object, 1000)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			id, err := whole(r.Data)
			if err != nil || objectOf(id) != object {
				return nil, fmt.Errorf("record %d of %s: %w", r.Seq, object, err)
			}
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all, nil
}

func count(all []int64, id int64) (n int) {
	for _, one := range all {
		if one == id {
			n++
		}
	}
	return n
}

func compare(facts map[int64]fact, waiting, aside []int64) error {
	for _, id := range slices.Concat(waiting, aside) {
		if !facts[id].tried["put"] {
			return fmt.Errorf("%d was invented", id)
		}
	}
	for id, f := range facts {
		there, apart := count(waiting, id), count(aside, id)
		switch {
		case there+apart > 1:
			return fmt.Errorf("%d is there %d times", id, there+apart)
		case f.done["put"] && !f.tried["delete"] && there+apart == 0:
			return fmt.Errorf("%d was acknowledged and is lost", id)
		case f.done["delete"] && there+apart > 0:
			return fmt.Errorf("%d was deleted and is there", id)
		case f.done["aside"] && !f.tried["restore"] && there > 0:
			return fmt.Errorf("%d was set aside and waits", id)
		case !f.tried["aside"] && apart > 0:
			return fmt.Errorf("%d was not to be set aside", id)
		}
	}
	return nil
}

// strike runs the writer with a fault, in an empty directory.
func strike(t *testing.T, f fault) (dir string, calls []call, status syscall.WaitStatus) {
	t.Helper()
	dir = filepath.Join(scratch(t), "journal")
	cmd := child(t, "writer")
	cmd.Env = append(cmd.Env, "JOURNAL_TEST_DIR="+dir, "GODEBUG=asyncpreemptoff=1", "GOGC=off")
	read, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = read.Close(), out.Close() }()
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	calls, status, err = trace(t, cmd, dir, f)
	if errors.Is(err, errNoTrace) {
		t.Fatalf("NOTHING IS TESTED HERE: %v. Run this where a process may trace its children (a container may need --cap-add=SYS_PTRACE).", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, calls, status
}

func lines(calls []call, around int) string {
	var all []string
	for _, c := range calls {
		mark := " "
		if c.line == "" && c.n == around {
			mark = ">"
		}
		all = append(all, fmt.Sprintf("%s %3d %s", mark, c.n, c))
	}
	return strings.Join(all, "\n")
}

// mine are the calls on the journal's files.
func mine(calls []call) (n int) {
	for _, c := range calls {
		n = max(n, c.n)
	}
	return n
}

// TestAFailureAtAnyCallLosesNothing kills the writer before and after each of its calls on the
// journal's files, and makes each of them fail. In the short form each call is struck in one
// of these ways, in turn.
func TestAFailureAtAnyCallLosesNothing(t *testing.T) {
	t.Parallel()
	dir, calls, status := strike(t, fault{})
	if err := inspect(dir, calls); err != nil || status.ExitStatus() != 0 {
		t.Fatalf("without any fault: %v, status %v\n%s", err, status, lines(calls, 0))
	}
	ways := []fault{{kill: true}, {errno: syscall.EIO}, {kill: true, after: true}, {errno: syscall.ENOSPC}}
	last, first := mine(calls), rand.IntN(len(ways))
	t.Logf("%d calls, beginning with %+v", last, ways[first])
	for n := 1; n <= last; n++ {
		for i, f := range ways {
			if *long || (n+first)%len(ways) == i {
				f.n = n
				struck(t, f)
			}
		}
	}
}

// struck strikes the writer and looks what is left. After a failure that did not kill it, it
// must come to its end, and the power may fail while it is at it.
func struck(t *testing.T, f fault) {
	t.Helper()
	dir, calls, status := strike(t, f)
	if err := inspect(dir, calls); err != nil {
		t.Errorf("%+v: %v\n%s", f, err, lines(calls, f.n))
	}
	_ = os.RemoveAll(dir)
	switch {
	case mine(calls) < f.n: // the threads went another way, and made fewer calls
	case f.kill && !status.Signaled():
		t.Errorf("%+v: the child ended by itself: %d", f, status.ExitStatus())
	case !f.kill && status.ExitStatus() != 0:
		t.Errorf("%+v: the journal did not recover by itself: %v\n%s", f, status, lines(calls, f.n))
	case !f.kill:
		failPower(t, calls, 1, f.n, f.n+14)
	}
}
