package journal_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// damage is one thing that is done to a whole file.
type damage struct {
	// Cut is how many bytes are left; -1 leaves all.
	Cut int
	// At is the byte that is changed, by exclusive or with Xor; 0 changes nothing.
	At  int
	Xor byte
	// Use is whether to write to what could be opened, too.
	Use bool
}

// damages are what a child is to open one after the other.
type damages struct {
	Dir    string
	Want   []string // what the whole file holds
	Before []string // what it held before the last write
	All    []damage
}

func init() { roles["damage"] = openDamaged }

// openDamaged is the child: what is wrong ends it with a status, and if the process itself is
// ended, then the last line tells by what.
func openDamaged() {
	var d damages
	if err := json.NewDecoder(os.Stdin).Decode(&d); err != nil {
		panic(err)
	}
	path := filepath.Join(d.Dir, journal.FileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	counts := map[string]int{}
	hang := time.AfterFunc(time.Minute, func() { panic("it hangs") })
	for _, damage := range d.All {
		fmt.Printf("%+v\n", damage)
		hang.Reset(time.Minute)
		if err := os.WriteFile(path, damage.to(whole), 0o600); err != nil {
			panic(err)
		}
		result, err := d.open(damage)
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		counts[result]++
	}
	fmt.Println("done", counts)
}

func (d damage) to(whole []byte) []byte {
	b := bytes.Clone(whole)
	if d.Cut >= 0 {
		b = b[:d.Cut]
	}
	if d.Xor != 0 {
		b[d.At] ^= d.Xor
	}
	return b
}

// open opens a damaged file and says what it found: an error that names itself, or whole
// records, all of them.
func (d damages) open(damage damage) (string, error) {
	j, err := journal.Open(journal.Options{Dir: d.Dir})
	switch {
	case errors.Is(err, journal.ErrDamaged):
		return "damaged", nil
	case errors.Is(err, journal.ErrNewer) && damage.Cut < 0:
		return "newer", nil
	case err != nil:
		return "", fmt.Errorf("an unclear error: %w", err)
	}
	defer func() { _ = j.Close() }()
	found, err := list(j)
	if err != nil {
		return "", err
	}
	result := "whole"
	switch {
	case slices.Equal(found, d.Want):
	case j.Stats().Torn && slices.Equal(found, d.Before):
		result = "the write before, and it says so"
	case damage.Cut == 0 && len(found) == 0:
		return "new", nil
	default:
		return "", fmt.Errorf("silently other records:\n%s", strings.Join(found, "\n"))
	}
	if !damage.Use {
		return result, nil
	}
	return result, d.use(j, found)
}

// use writes to a journal that was opened: what Open overlooked must not come up then.
func (d damages) use(j *journal.Journal, before []string) error {
	var puts errgroup.Group
	for range 3 {
		puts.Go(func() error { return j.Put(context.Background(), "later", bytes.Repeat([]byte{1}, 3000)) }) //nolint:forbidigo // a child has no t
	}
	if err := puts.Wait(); err != nil {
		return err
	}
	records, err := j.Of("later", 3)
	if err != nil {
		return err
	}
	if err := j.Delete(records[0].Seq, records[1].Seq, records[2].Seq); err != nil {
		return err
	}
	if err := j.Close(); err != nil {
		return err
	}
	if j, err = journal.Open(journal.Options{Dir: d.Dir}); err != nil {
		return err
	}
	defer func() { _ = j.Close() }()
	after, err := list(j)
	if err == nil && !slices.Equal(after, before) {
		err = errors.New("writing to it changed what was in it")
	}
	return err
}

// list is all that a journal holds, in lines.
func list(j *journal.Journal) ([]string, error) {
	lines := []string{}
	for _, object := range j.Objects() {
		records, err := j.Of(object, 1000)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			lines = append(lines, fmt.Sprintf("%s %d %s %d %.20q", object, r.Seq, r.At, len(r.Data), r.Data))
		}
	}
	for _, a := range j.Asides() {
		lines = append(lines, fmt.Sprintf("aside %d %s %s %s", a.Seq, a.Object, a.At, a.Reason))
	}
	return lines, nil
}

// sample makes a journal with pages of every kind, and tells what it holds, and held before
// the last write.
func sample(t *testing.T, dir string) (want, before []string) {
	t.Helper()
	j := open(t, journal.Options{Dir: dir})
	for i := range 60 {
		put(t, j, fmt.Sprint("object ", i%7), strings.Repeat(fmt.Sprint("data ", i, " "), 40))
		if i%3 == 0 {
			if err := j.Delete(uint64(i)); err != nil {
				t.Fatal(err)
			}
		}
		if i%20 == 10 {
			if err := j.SetAside(map[uint64]string{uint64(i): "because of " + fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(t, j, "large", strings.Repeat("large ", 3000))
	before, err := list(j)
	if err != nil {
		t.Fatal(err)
	}
	put(t, j, "large", "last")
	if want, err = list(j); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return want, before
}

// inChild has a child open the damaged files.
func inChild(t *testing.T, d damages) {
	t.Helper()
	input, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	cmd := child(t, "damage")
	cmd.Stdin = bytes.NewReader(input)
	output, err := cmd.CombinedOutput()
	var last []string
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan() && len(last) < 60; {
		if strings.HasPrefix(lines.Text(), "{") {
			last = nil
		}
		last = append(last, lines.Text())
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(last, "\n"))
	}
	t.Logf("%d files: %s", len(d.All), last[len(last)-1])
}

// child is this test binary in a role.
func child(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	// The race detector makes a process wait for a second at its end.
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_ROLE="+role, "GORACE=atexit_sleep_ms=0", "GOTRACEBACK=single")
	return cmd
}

// places are bytes of a file: the headers, the heads and ends of pages, what branch pages hold
// and those with small buckets inside, and some of the others; with -journal.long all.
func places(t *testing.T, dir string, head, spread int) []damage {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir, journal.FileName))
	if err != nil {
		t.Fatal(err)
	}
	var all []damage
	size := os.Getpagesize()
	for at := range file {
		in, page, used, use := at%size, file[at-at%size:][:size], head, at%8 == 0
		switch {
		case at < 2*size:
			used = 80
		case page[8] == 1:
			used = 16 + 24*int(page[10])
		case bytes.Contains(page, []byte("tally")):
			used, use = 400, true
		}
		if *long || in < used || in >= size-4 || at%spread == 0 {
			all = append(all, damage{Cut: -1, At: at, Xor: 1 << (at % 8), Use: use || *long})
		}
	}
	return all
}

func TestAFileCutAtAnyByteIsWholeOrRefused(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	d := damages{Dir: dir}
	d.Want, d.Before = sample(t, dir)
	for _, at := range places(t, dir, 20, 251) {
		d.All = append(d.All, damage{Cut: at.At, Use: *long})
	}
	inChild(t, d)
}

func TestAFlippedByteIsNoticedOrHarmless(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	d := damages{Dir: dir}
	d.Want, d.Before = sample(t, dir)
	for _, at := range places(t, dir, 32, 151) {
		d.All = append(d.All, at)
		if at.At%5 == 0 || *long {
			at.Xor = 0xff
			d.All = append(d.All, at)
		}
	}
	inChild(t, d)
}
