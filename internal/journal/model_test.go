package journal_test

import (
	"errors"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// model is a journal as a list.
type model struct {
	options journal.Options
	j       *journal.Journal
	records []modelled
	last    uint64
	// asked is what the admission was told last.
	asked struct {
		group     string
		mine, all journal.Use
	}
}

// errShare refuses a fifth record of a group.
var errShare = errors.New("the group has enough")

// groupOf: a and b are one group, the rest is another.
func groupOf(object string) string {
	if object == "a" || object == "b" {
		return "ab"
	}
	return "rest"
}

func (m *model) admit(group string, mine, all journal.Use) error {
	m.asked.group, m.asked.mine, m.asked.all = group, mine, all
	if mine.Records >= 4 {
		return errShare
	}
	return nil
}

// use of a group, or of all if it is empty.
func (m *model) use(group string) journal.Use {
	var use journal.Use
	for _, r := range m.records {
		if group != "" && groupOf(r.object) != group {
			continue
		}
		use.Bytes += int64(len(r.object) + len(r.data) + journal.EntryCost)
		if r.aside != nil {
			use.Bytes += int64(len(*r.aside))
		} else {
			use.Records++
		}
	}
	return use
}

type modelled struct {
	seq    uint64
	object string
	data   string
	aside  *string
}

func TestJournalIsItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{options: journal.Options{Dir: scratch(t), MaxBytes: 8000}.CompactAbove(1 << 16)}
		m.open(rt)
		defer func() { _ = m.j.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"put":      m.put,
			"delete":   m.delete,
			"setAside": m.setAside,
			"restore":  m.restore,
			"reopen": func(t *rapid.T) {
				if err := m.j.Close(); err != nil {
					t.Fatal(err)
				}
				m.open(t)
			},
			"fail": func(t *rapid.T) {
				m.j.Fail(errors.New("the disk"))
				for start := time.Now(); m.j.Stats().Failed; runtime.Gosched() {
					if time.Since(start) > 20*time.Second {
						t.Fatalf("it does not open again: %v", m.j.Delete())
					}
				}
			},
		})
	})
}

func (m *model) open(t *rapid.T) {
	m.options.Now = func() time.Time { return clock(m.last + 1) }
	j, err := journal.Open(m.options.Impatient(1))
	if err != nil {
		t.Fatal(err)
	}
	m.j = j
	j.Admit(groupOf, m.admit)
}

// clock is when the record of a number is put: it jumps, and tells no order.
func clock(seq uint64) time.Time {
	return time.Unix(1_800_000_000+int64(seq*7919%1000), 0)
}

func (m *model) bytes() int64 { return m.use("").Bytes }

func (m *model) put(t *rapid.T) {
	object := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "object")
	data := rapid.SliceOfN(rapid.Byte(), 0, -1).Draw(t, "data")
	if rapid.IntRange(0, 9).Draw(t, "large") == 0 {
		data = slices.Repeat([]byte{7}, 5000)
	}
	err := m.j.Put(t.Context(), object, data)
	if m.bytes()+int64(len(object)+len(data)+journal.EntryCost) > m.options.MaxBytes {
		if !errors.Is(err, journal.ErrFull) {
			t.Fatalf("put into a full journal: %v", err)
		}
		return
	}
	mine, all := m.use(groupOf(object)), m.use("")
	if m.asked.group != groupOf(object) || m.asked.mine != mine || m.asked.all != all {
		t.Fatalf("asked %+v, want %+v of %+v", m.asked, mine, all)
	}
	if mine.Records >= 4 {
		if !errors.Is(err, errShare) {
			t.Fatalf("put though it is refused: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.last++
	m.records = append(m.records, modelled{seq: m.last, object: object, data: string(data)})
}

// seqs are some numbers, of records that there are, were or never will be.
func (m *model) seqs(t *rapid.T) []uint64 {
	return rapid.SliceOfN(rapid.Uint64Range(0, m.last+1), 0, 4).Draw(t, "seqs")
}

func (m *model) delete(t *rapid.T) {
	seqs := m.seqs(t)
	if err := m.j.Delete(seqs...); err != nil {
		t.Fatal(err)
	}
	m.records = slices.DeleteFunc(m.records, func(r modelled) bool { return slices.Contains(seqs, r.seq) })
}

func (m *model) setAside(t *rapid.T) {
	reasons := map[uint64]string{}
	for _, seq := range m.seqs(t) {
		reasons[seq] = rapid.StringN(0, 20, 60).Draw(t, "reason")
	}
	if err := m.j.SetAside(reasons); err != nil {
		t.Fatal(err)
	}
	for i := range m.records {
		if reason, aside := reasons[m.records[i].seq]; aside {
			m.records[i].aside = &reason
		}
	}
}

func (m *model) restore(t *rapid.T) {
	seqs := m.seqs(t)
	if err := m.j.Restore(seqs...); err != nil {
		t.Fatal(err)
	}
	for i := range m.records {
		if slices.Contains(seqs, m.records[i].seq) {
			m.records[i].aside = nil
		}
	}
}

func (m *model) check(t *rapid.T) {
	waiting, newest, asides := map[string][]modelled{}, map[string]uint64{}, []journal.Aside{}
	for _, r := range m.records {
		if r.aside != nil {
			asides = append(asides, journal.Aside{Seq: r.seq, Object: r.object, Reason: *r.aside})
			continue
		}
		waiting[r.object] = append(waiting[r.object], r)
		newest[r.object] = r.seq
	}
	objects := slices.SortedFunc(maps.Keys(newest), func(a, b string) int { return int(newest[b]) - int(newest[a]) })
	if got := m.j.Objects(); !slices.Equal(got, objects) {
		t.Fatalf("objects %q, want %q", got, objects)
	}
	got := m.j.Asides()
	for i := range got {
		got[i].At = asides[min(i, len(asides)-1)].At
	}
	if !slices.Equal(got, asides) {
		t.Fatalf("asides %v, want %v", got, asides)
	}
	for _, object := range []string{"", "a", "b", "c"} {
		m.checkObject(t, object, waiting[object])
		some := slices.ContainsFunc(m.records, func(r modelled) bool { return r.object == object })
		if got, err := m.j.Has(object); got != some || err != nil {
			t.Fatalf("there is some of %q: %v, %v", object, got, err)
		}
	}
	stats := m.j.Stats()
	if stats.Records != len(m.records)-len(asides) || stats.Asides != len(asides) || stats.Bytes != m.bytes() || stats.Torn {
		t.Fatalf("stats %+v, want %d and %d of %d bytes", stats, len(m.records)-len(asides), len(asides), m.bytes())
	}
	var oldest time.Time
	if i := slices.IndexFunc(m.records, func(r modelled) bool { return r.aside == nil }); i >= 0 {
		oldest = clock(m.records[i].seq)
	}
	if !stats.Oldest.Equal(oldest) {
		t.Fatalf("%d records, the oldest of %s, want %s", stats.Records, stats.Oldest, oldest)
	}
}

func (m *model) checkObject(t *rapid.T, object string, want []modelled) {
	limit := rapid.IntRange(-1, 5).Draw(t, "limit")
	got, err := m.j.Of(object, limit)
	if err != nil {
		t.Fatal(err)
	}
	want = want[:min(len(want), max(limit, 0))]
	same := func(a journal.Record, b modelled) bool { return a.Seq == b.seq && string(a.Data) == b.data }
	if !slices.EqualFunc(got, want, same) {
		t.Fatalf("of %q: %v, want %v", object, got, want)
	}
}
