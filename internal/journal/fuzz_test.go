package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// small is the file of a journal with records of three objects, a large one, and some set aside.
func small(f *testing.F) []byte {
	f.Helper()
	dir := memory(f)
	j, err := Open(Options{Dir: dir})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 12 {
		if err := j.Put(f.Context(), fmt.Sprint("object ", i%3), []byte(strings.Repeat("data ", 1+i*20))); err != nil {
			f.Fatal(err)
		}
	}
	if err := errors.Join(j.Delete(2, 3), j.SetAside(map[uint64]string{5: "because"}), j.Close()); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		f.Fatal(err)
	}
	return file
}

// memory is a directory whose fsync costs nothing, where there is one.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// edited is a file with some of its bytes changed (each edit is three bytes of where and one
// of what) and so many cut off, whose headers have right checksums all the same: else nothing
// behind them would be looked at.
func edited(whole, edits []byte, cut uint16) []byte {
	file := bytes.Clone(whole[:max(0, len(whole)-int(cut)*16)])
	for ; len(edits) >= 4 && len(file) > 0; edits = edits[4:] {
		at := int(edits[0])<<16 | int(edits[1])<<8 | int(edits[2])
		file[at%len(file)] ^= edits[3]
	}
	for _, at := range []int{0, os.Getpagesize()} {
		if len(file) < at+pageHead+headerSize {
			continue
		}
		header := file[at+pageHead:]
		sum := fnv.New64a()
		_, _ = sum.Write(header[:56])
		order.PutUint64(header[56:], sum.Sum64())
	}
	return file
}

// places are the bytes that say how the file is built: of both headers, and of each page its
// head and first elements.
func places(f *testing.F, whole []byte) (all [][]byte) {
	f.Helper()
	for page := 0; page < len(whole); page += os.Getpagesize() {
		for _, in := range []int{0, 8, 10, 12, 16, 20, 24, 28, 32, 48, 56, 64} {
			at := page + in
			all = append(all, []byte{byte(at >> 16), byte(at >> 8), byte(at), 1})
		}
	}
	return all
}

// FuzzPages: whatever is in a file, it is read as whole records or refused as damaged, and its
// index adds up.
func FuzzPages(f *testing.F) {
	whole := small(f)
	for _, edit := range places(f, whole) {
		f.Add(edit, uint16(0))
	}
	f.Add([]byte(nil), uint16(300))
	f.Fuzz(func(t *testing.T, edits []byte, cut uint16) {
		file := edited(whole, edits, cut)
		pages, err := readPages(bytes.NewReader(file), int64(len(file)))
		var index *index
		if err == nil {
			index, err = readAll(pages)
		}
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
				t.Errorf("an unclear error: %v", err)
			}
			return
		}
		bytes, waiting := int64(0), 0
		for seq, e := range index.entries {
			bytes += e.cost() + int64(len(index.asides[seq]))
			if _, aside := index.asides[seq]; !aside {
				waiting++
			}
		}
		for _, seqs := range index.waiting {
			waiting -= len(seqs)
			if !slices.IsSorted(seqs) || len(seqs) == 0 {
				t.Errorf("waiting %v", seqs)
			}
		}
		if bytes != index.bytes || waiting != 0 {
			t.Errorf("%d bytes, counted %d; %d waiting too many", bytes, index.bytes, waiting)
		}
	})
}

// FuzzFile: whatever is in the file, Open gives a journal that takes records and keeps them, or
// an error that says what to do. It never hangs, and never ends the process.
func FuzzFile(f *testing.F) {
	whole := small(f)
	for _, edit := range places(f, whole) {
		f.Add(edit, uint16(0))
	}
	f.Add([]byte(nil), uint16(1))
	dir := memory(f)
	f.Fuzz(func(t *testing.T, edits []byte, cut uint16) {
		hang := time.AfterFunc(time.Minute, func() { panic("it hangs") })
		defer hang.Stop()
		if err := os.WriteFile(filepath.Join(dir, fileName), edited(whole, edits, cut), 0o600); err != nil {
			t.Fatal(err)
		}
		before, err := use(t.Context(), dir, true)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
				t.Errorf("an unclear error: %v", err)
			}
			return
		}
		after, err := use(t.Context(), dir, false)
		if err != nil || !slices.Equal(before, after) {
			t.Errorf("opened again it holds %q, and before %q (%v)", after, before, err)
		}
	})
}

// use opens a journal, puts a record if so, and lists what is then there.
func use(ctx context.Context, dir string, put bool) (all []string, err error) {
	j, err := Open(Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if put {
		if err := j.Put(ctx, "later", bytes.Repeat([]byte{1}, 3000)); err != nil {
			return nil, fmt.Errorf("put: %w", err)
		}
	}
	for _, object := range j.Objects() {
		records, err := j.Of(object, 1000)
		if err != nil {
			return nil, fmt.Errorf("of %q: %w", object, err)
		}
		for _, r := range records {
			all = append(all, fmt.Sprintf("%s %d %s %q", object, r.Seq, r.At, r.Data))
		}
	}
	for _, a := range j.Asides() {
		all = append(all, fmt.Sprintf("aside %d %s %s", a.Seq, a.Object, a.Reason))
	}
	return all, nil
}

// FuzzRecord: what is put comes back as it was, under its own number only, and no other bytes
// pass for a record or a tally.
func FuzzRecord(f *testing.F) {
	f.Add(uint64(1), "object", int64(1_700_000_000_000_000_000), []byte("data"))
	f.Add(uint64(1<<63), "", int64(-1), []byte(nil))
	f.Fuzz(func(t *testing.T, seq uint64, object string, at int64, data []byte) {
		r := newRecord(object, time.Unix(0, at), data)
		seal(key(seq), r.value)
		got, err := parseRecord(key(seq), r.value)
		if err != nil || got.seq != seq || got.object != object || got.at != at || !bytes.Equal(got.data(), data) || got.size != r.size {
			t.Fatalf("comes back as %+v, %v", got, err)
		}
		if _, err := parseRecord(key(seq+1), r.value); err == nil {
			t.Error("passes under another number")
		}
		if got, err := parseRecord(key(seq), data); err == nil && got.size != int64(len(data)-recordHead) {
			t.Errorf("other bytes pass for %+v", got)
		}
		total := tally{last: seq, count: uint64(len(data)), sum: uint64(at)}
		if got, err := parseTally(total.bytes()); err != nil || got != total {
			t.Errorf("a tally comes back as %+v, %v", got, err)
		}
		if len(data) == tallySize {
			if got, err := parseTally(data); err == nil && !bytes.Equal(got.bytes(), data) {
				t.Errorf("other bytes pass for %+v", got)
			}
		}
		// A length that lies, with a right checksum.
		binary.BigEndian.PutUint32(r.value[12:], uint32(len(object)+len(data)+1))
		seal(key(seq), r.value)
		if _, err := parseRecord(key(seq), r.value); err == nil {
			t.Error("an object longer than its record passes")
		}
	})
}
