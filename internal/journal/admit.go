package journal

// Use is how much a group of objects, or all of them, have in the journal. What is being put
// counts as if it were there.
type Use struct {
	// Records that wait to be read.
	Records int64
	// Bytes of these and of what was set aside, as in Stats.
	Bytes int64
}

func (u Use) plus(more Use) Use {
	return Use{Records: u.Records + more.Records, Bytes: u.Bytes + more.Bytes}
}

// Admission may refuse a record of a group, by what the group uses without it, and what all
// use: Put gives its error. It is asked about each record that the journal has room for, one
// at a time and under the journal's lock: it must be quick, and must not call the journal.
type Admission func(group string, mine, all Use) error

// Admit has the journal count by groups, what is in it already included, and ask about each
// record. The group of an object follows from its name. Admit is called before the first Put.
func (j *Journal) Admit(group func(object string) string, admission Admission) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.group, j.admission = group, admission
	j.index.groupBy(group)
	j.reservedBy = map[string]Use{}
}

// UseOf is what a group uses: nothing before Admit, and while the journal has failed.
func (j *Journal) UseOf(group string) Use {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.usable() != nil {
		return Use{}
	}
	return j.index.groups[group].plus(j.reservedBy[group])
}

// Usable reports whether the journal takes records now, as far as is known without asking about one:
// it has neither failed nor refuses Puts for a while since it did, and its disk does not hang (a write
// that has been under way for a second).
func (j *Journal) Usable() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.usable() == nil && !j.holds() && !j.hangs()
}

// MaxBytes bounds the Bytes of all.
func (j *Journal) MaxBytes() int64 { return j.options.MaxBytes }

// all is what all use. The lock is held.
func (j *Journal) all() Use {
	waiting := int64(len(j.index.entries) - len(j.index.asides))
	return Use{Records: waiting, Bytes: j.index.bytes}.plus(j.reserved)
}
