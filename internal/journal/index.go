package journal

import (
	"maps"
	"slices"
	"time"
)

// index is what is known of the records without reading the file.
type index struct {
	entries map[uint64]entry
	waiting map[string][]uint64 // of each object the numbers, ascending; never empty
	asides  map[uint64]string   // the reasons
	// asidesOf is how many each object has; never zero.
	asidesOf map[string]int
	// byAge are the numbers of all that wait, ascending, and of some that do not any more.
	byAge []uint64
	bytes int64
	// group names the group of an object; nil: there are none.
	group  func(object string) string
	groups map[string]Use // never zero
}

// entry is one record, waiting or set aside.
type entry struct {
	object string
	at     int64 // Unix nanoseconds
	size   int64 // of object and data
}

// fewGone is how many numbers of what is gone cost nothing worth speaking of.
const fewGone = 1024

func (e entry) cost() int64 { return e.size + entryCost }

func newIndex() *index {
	return &index{entries: map[uint64]entry{}, waiting: map[string][]uint64{}, asides: map[uint64]string{}, asidesOf: map[string]int{}}
}

func (x *index) add(seq uint64, e entry) {
	x.entries[seq] = e
	x.weigh(e.object, e.cost())
	x.wait(seq)
}

// weigh counts bytes of an object that are there now, or no more.
func (x *index) weigh(object string, bytes int64) {
	x.bytes += bytes
	x.count(object, Use{Bytes: bytes})
}

// count counts what is there now, or no more, for the object's group.
func (x *index) count(object string, more Use) {
	if x.group != nil {
		account(x.groups, x.group(object), more)
	}
}

// account adds to what a group uses, and forgets a group that uses nothing.
func account(groups map[string]Use, group string, more Use) {
	if sum := groups[group].plus(more); sum != (Use{}) {
		groups[group] = sum
	} else {
		delete(groups, group)
	}
}

// groupBy counts what is there by groups, from now on.
func (x *index) groupBy(group func(object string) string) {
	x.group, x.groups = group, map[string]Use{}
	for seq, e := range x.entries {
		reason, aside := x.asides[seq]
		use := Use{Bytes: e.cost() + int64(len(reason))}
		if !aside {
			use.Records = 1
		}
		x.count(e.object, use)
	}
}

func (x *index) wait(seq uint64) {
	object := x.entries[seq].object
	seqs := x.waiting[object]
	at, _ := slices.BinarySearch(seqs, seq)
	x.waiting[object] = slices.Insert(seqs, at, seq)
	x.byAge = append(x.byAge, seq)
	x.count(object, Use{Records: 1})
}

// waits reports whether a record is there, and not set aside.
func (x *index) waits(seq uint64) bool {
	_, there := x.entries[seq]
	_, aside := x.asides[seq]
	return there && !aside
}

// forget takes from byAge what does not wait any more, when that is most of it.
func (x *index) forget() {
	if len(x.byAge) > 2*(len(x.entries)-len(x.asides))+fewGone {
		x.byAge = slices.DeleteFunc(x.byAge, func(seq uint64) bool { return !x.waits(seq) })
	}
}

func (x *index) unwait(seq uint64) {
	object := x.entries[seq].object
	seqs := x.waiting[object]
	at, found := slices.BinarySearch(seqs, seq)
	if !found {
		return
	}
	x.count(object, Use{Records: -1})
	switch {
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
		x.unaside(seq)
		x.weigh(e.object, -e.cost())
		delete(x.entries, seq)
		x.forget()
	}
}

// setAside gives false if there is no such record.
func (x *index) setAside(seq uint64, reason string) bool {
	e, found := x.entries[seq]
	if !found {
		return false
	}
	x.unwait(seq)
	x.unaside(seq) // for another reason
	x.weigh(e.object, int64(len(reason)))
	x.asides[seq] = reason
	x.asidesOf[e.object]++
	x.forget()
	return true
}

// unaside reports whether a record was set aside; it is no more.
func (x *index) unaside(seq uint64) bool {
	reason, found := x.asides[seq]
	if !found {
		return false
	}
	object := x.entries[seq].object
	x.weigh(object, -int64(len(reason)))
	delete(x.asides, seq)
	if x.asidesOf[object]--; x.asidesOf[object] == 0 {
		delete(x.asidesOf, object)
	}
	return true
}

func (x *index) restore(seqs []uint64) {
	for _, seq := range seqs {
		if x.unaside(seq) {
			x.wait(seq)
		}
	}
	slices.Sort(x.byAge)
	x.byAge = slices.Compact(x.byAge)
}

func (x *index) first(object string, limit int) []uint64 {
	seqs := x.waiting[object]
	return slices.Clone(seqs[:min(len(seqs), max(limit, 0))])
}

// dated is an object with the number of its newest record.
type dated struct {
	object string
	newest uint64
}

func (x *index) objects() []dated {
	objects := make([]dated, 0, len(x.waiting))
	for object, seqs := range x.waiting {
		objects = append(objects, dated{object, seqs[len(seqs)-1]})
	}
	return objects
}

// has reports whether there is any record of an object, waiting or set aside.
func (x *index) has(object string) bool {
	return len(x.waiting[object])+x.asidesOf[object] > 0
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
	for len(x.byAge) > 0 && !x.waits(x.byAge[0]) {
		x.byAge = x.byAge[1:]
	}
	if len(x.byAge) == 0 {
		return time.Time{}
	}
	return time.Unix(0, x.entries[x.byAge[0]].at)
}
