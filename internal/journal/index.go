package journal

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// index is what is known of the records without reading the file.
type index struct {
	entries map[uint64]entry
	waiting map[string][]uint64 // of each object the numbers, ascending; never empty
	asides  map[uint64]string   // the reasons
	bytes   int64
}

// entry is one record, waiting or set aside.
type entry struct {
	object string
	at     int64 // Unix nanoseconds
	size   int64 // of object and data
}

func (e entry) cost() int64 { return e.size + entryCost }

func newIndex() *index {
	return &index{entries: map[uint64]entry{}, waiting: map[string][]uint64{}, asides: map[uint64]string{}}
}

func (x *index) add(seq uint64, e entry) {
	x.entries[seq] = e
	x.bytes += e.cost()
	x.wait(seq)
}

func (x *index) wait(seq uint64) {
	object := x.entries[seq].object
	seqs := x.waiting[object]
	at, _ := slices.BinarySearch(seqs, seq)
	x.waiting[object] = slices.Insert(seqs, at, seq)
}

func (x *index) unwait(seq uint64) {
	object := x.entries[seq].object
	seqs := x.waiting[object]
	at, found := slices.BinarySearch(seqs, seq)
	switch {
	case !found:
		return
	case len(seqs) == 1:
		delete(x.waiting, object)
	case at == 0:
		x.waiting[object] = seqs[1:] // the usual way, and no copying
	default:
		x.waiting[object] = slices.Delete(seqs, at, at+1)
	}
}

func (x *index) remove(seqs []uint64) {
	for _, seq := range seqs {
		e, found := x.entries[seq]
		if !found {
			continue
		}
		x.unwait(seq)
		x.bytes -= e.cost() + int64(len(x.asides[seq]))
		delete(x.asides, seq)
		delete(x.entries, seq)
	}
}

// setAside gives false if there is no such record.
func (x *index) setAside(seq uint64, reason string) bool {
	if _, found := x.entries[seq]; !found {
		return false
	}
	x.unwait(seq)
	x.bytes += int64(len(reason) - len(x.asides[seq]))
	x.asides[seq] = reason
	return true
}

func (x *index) restore(seqs []uint64) {
	for _, seq := range seqs {
		if reason, found := x.asides[seq]; found {
			x.bytes -= int64(len(reason))
			delete(x.asides, seq)
			x.wait(seq)
		}
	}
}

func (x *index) first(object string, limit int) []uint64 {
	seqs := x.waiting[object]
	return slices.Clone(seqs[:min(len(seqs), max(limit, 0))])
}

func (x *index) objects() []string {
	newest := func(object string) uint64 { seqs := x.waiting[object]; return seqs[len(seqs)-1] }
	return slices.SortedFunc(maps.Keys(x.waiting), func(a, b string) int { return cmp.Compare(newest(b), newest(a)) })
}

func (x *index) listAsides() []Aside {
	asides := make([]Aside, 0, len(x.asides))
	for _, seq := range slices.Sorted(maps.Keys(x.asides)) {
		e := x.entries[seq]
		asides = append(asides, Aside{Seq: seq, Object: e.object, At: time.Unix(0, e.at), Reason: x.asides[seq]})
	}
	return asides
}

// oldest is when the first waiting record was put.
func (x *index) oldest() time.Time {
	var first uint64
	for _, seqs := range x.waiting {
		if first == 0 || seqs[0] < first {
			first = seqs[0]
		}
	}
	if first == 0 {
		return time.Time{}
	}
	return time.Unix(0, x.entries[first].at)
}
