package faults

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

// Two managers cannot have one journal: the second ends and says why, and the first goes on.
func TestTheSecondManagerOnAJournalEnds(t *testing.T) {
	w, weather := newStormyWorld(t, 1)
	m := w.openMarket("two", "770002")
	_, err := env.StartManager(env.ManagerOptions{Flags: []string{"--journal-dir", w.journal}})
	if err == nil {
		t.Fatal("the second manager runs")
	}
	for _, part := range []string{"manager ended", "in use by another process", filepath.Base(w.journal)} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the second manager ended without %q: %v", part, err)
		}
	}
	weather.turn(away)
	kept := m.tellMany(5)
	if n, err := w.gauge("channel_operator_journal_records"); err != nil || n != float64(len(kept)) {
		t.Errorf("the journal has %v records, want %d: %v", n, len(kept), err)
	}
	weather.turn(fair)
	w.drained()
	m.check(kept)
}

// A manager that is killed with records in its journal, while the API server is away, has
// them written when both are back.
func TestWhatTheJournalHasOutlivesTheManager(t *testing.T) {
	w, weather := newStormyWorld(t, 1)
	m := w.openMarket("after", "770003")
	weather.turn(away)
	kept := m.tellMany(40)
	var there v1alpha1.OrderVoucherList
	if err := w.api.List(t.Context(), &there, client.InNamespace(w.namespace)); err != nil || len(there.Items) > 0 {
		t.Fatalf("the API server was away, and %d orders stand: %v", len(there.Items), err)
	}
	w.kill()
	weather.turn(fair)
	w.eventually(func() error {
		if w.died() == 0 {
			return fmt.Errorf("the manager still lives")
		}
		return w.isUp()
	})
	w.drained()
	m.check(kept)
	if n := w.everKept(); n != len(kept) {
		t.Errorf("the journal kept %d records of %d messages", n, len(kept))
	}
}

// tellMany has so many orders paid for, each of which must be acknowledged at once.
func (m *market) tellMany(n int) []*message {
	m.Helper()
	s := newSender(m.push)
	var messages []*message
	for i := range n {
		id := fmt.Sprintf("91%06d", i)
		if err := m.fake.PutOrder(platformtest.Order{ID: id, ProductID: "7", Quantity: 1, Price: 100}); err != nil {
			m.Fatal(err)
		}
		p := &play{order: id, steps: []step{func() ([]byte, error) { return m.fake.Pay(id) }}}
		message, err := p.happen()
		if err != nil {
			m.Fatal(err)
		}
		if !s.post(m.Context(), message) {
			m.Fatalf("the push of order %s is not acknowledged; %q\n%s", id, s.complaints(), m.log())
		}
		message.acknowledged.Store(true)
		messages = append(messages, message)
	}
	return messages
}
