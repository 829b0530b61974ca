//go:build linux && (amd64 || arm64)

package journal_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// disk is what would be on a disk when the power fails: what was fsynced, and of the rest
// anything. The worst is assumed of a failed fsync: the writes before it can still be read, but
// are taken for written, and never will be.
type disk struct {
	files  map[uint64]*kept
	names  map[string]uint64   // that are on the disk
	latter []map[string]uint64 // as they became since
}

type kept struct {
	bytes []byte
	after []call // writes and truncations since the last fsync
}

func (d *disk) current() map[string]uint64 {
	if len(d.latter) == 0 {
		return d.names
	}
	return d.latter[len(d.latter)-1]
}

// rename makes the names what they become by a change.
func (d *disk) rename(change func(map[string]uint64)) {
	names := maps.Clone(d.current())
	change(names)
	d.latter = append(d.latter, names)
}

func (d *disk) file(inode uint64) *kept {
	if d.files[inode] == nil {
		d.files[inode] = &kept{}
	}
	return d.files[inode]
}

// apply takes in the next call that was made.
func (d *disk) apply(c call) {
	_, isFile := d.current()[filepath.Base(c.path)]
	switch {
	case c.name == "fsync" && c.failed && isFile:
		d.file(c.inode).forget()
	case c.failed:
	case c.name == "create":
		d.rename(func(names map[string]uint64) { names[filepath.Base(c.path)] = c.inode })
	case c.name == "unlink":
		d.rename(func(names map[string]uint64) { delete(names, filepath.Base(c.path)) })
	case c.name == "rename":
		d.rename(func(names map[string]uint64) {
			names[filepath.Base(c.to)] = names[filepath.Base(c.path)]
			delete(names, filepath.Base(c.path))
		})
	case c.name == "pwrite" || c.name == "ftruncate":
		d.file(c.inode).after = append(d.file(c.inode).after, c)
	case c.name == "fsync" && isFile:
		d.file(c.inode).settle()
	case c.name == "fsync":
		d.names, d.latter = d.current(), nil
	}
}

func (k *kept) settle() {
	for _, c := range k.after {
		k.bytes = done(k.bytes, c, func(int) bool { return true })
	}
	k.after = nil
}

// forget drops the writes since the last fsync; the sizes stay.
func (k *kept) forget() {
	var sizes []call
	for _, c := range k.after {
		if c.name == "ftruncate" {
			sizes = append(sizes, c)
		}
	}
	k.after = sizes
}

// done is what bytes become by a call, of which some bytes reach the disk.
func done(b []byte, c call, reaches func(at int) bool) []byte {
	size := int(c.offset) + len(c.data)
	if grown := size - len(b); grown > 0 {
		b = append(b, make([]byte, grown)...)
	}
	if c.name == "ftruncate" {
		return b[:size]
	}
	for at := range c.data {
		if reaches(at) {
			b[int(c.offset)+at] = c.data[at]
		}
	}
	return b
}

// fail writes into a directory what is there after the power failed now.
func (d *disk) fail(dir string, random *rand.Rand) error {
	names := d.names
	if n := random.IntN(len(d.latter) + 1); n > 0 {
		names = d.latter[n-1]
	}
	for name, inode := range names {
		b := bytes.Clone(d.file(inode).bytes)
		for _, c := range d.file(inode).after {
			if random.IntN(5) > 1 {
				b = done(b, c, tear(len(c.data), random))
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tear says which bytes of a write reach the disk: all, those up to some byte, or some sectors.
func tear(size int, random *rand.Rand) func(at int) bool {
	end, sectors := random.IntN(size+1), random.Uint64()
	switch random.IntN(3) {
	case 0:
		return func(int) bool { return true }
	case 1:
		return func(at int) bool { return at < end }
	default:
		return func(at int) bool { return sectors>>(at/512%64)&1 == 1 }
	}
}

// failPower lets the power fail after each of some calls, and looks what is left.
func failPower(t *testing.T, calls []call, rounds int, from, to int) {
	t.Helper()
	parent := scratch(t)
	d := &disk{files: map[uint64]*kept{}, names: map[string]uint64{}}
	for i, c := range calls {
		d.apply(c)
		if c.line != "" || c.n < from || c.n > to {
			continue
		}
		for round := range rounds {
			seed := rand.Uint64()
			dir := filepath.Join(parent, fmt.Sprint(i, "-", round))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := d.fail(dir, rand.New(rand.NewPCG(seed, 0))); err != nil {
				t.Fatal(err)
			}
			if err := inspect(dir, calls[:i+1]); err != nil {
				t.Fatalf("the power fails after call %d (seed %d): %v\n%s", c.n, seed, err, lines(calls, c.n))
			}
			_ = os.RemoveAll(dir)
		}
	}
}

func TestAPowerFailureLosesNothing(t *testing.T) {
	t.Parallel()
	_, calls, _ := strike(t, fault{})
	rounds := 4
	if *long {
		rounds = 200
	}
	failPower(t, calls, rounds, 0, len(calls))
}
