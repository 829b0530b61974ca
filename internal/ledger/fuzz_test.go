package ledger

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// FuzzFact: whatever the journal gives back is a fact that says the same when it is kept again,
// or is not known; and what follows from it alone holds.
func FuzzFact(f *testing.F) {
	for _, text := range []string{
		`{"object":{"kind":"order","namespace":"travel","channel":"fliggy","platform":"Fliggy","id":"a/b"},"receivedAt":"2026-11-22T12:00:00.5Z",` +
			`"order":{"outOrderID":"T-1","notification":{"id":"m","type":"CodesIssued","platformType":"x","receivedAt":"2026-11-22T12:00:00.500000Z","sealed":"YQ==","codes":[{"id":"h1:a","hint":"A•••"}]}}}`,
		`{"object":{"kind":"product","namespace":"travel","channel":"fliggy","id":"5"},"product":{"aspects":["price","","price"],"change":{"changedAt":"2026-11-22T12:00:00.000000Z","messageID":"m","type":"t"}}}`,
		`{"object":{"kind":"channel","namespace":"travel","channel":"fliggy"},"notice":{"platformType":"x","id":"m","count":-1,"sealed":""}}`,
		`{"object":{"kind":"channel"},"order":{}}`, `{}`, `null`, `{"receivedAt":"0000-01-01T00:00:00Z"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var is fact
		if json.Unmarshal(text, &is) != nil {
			return
		}
		if set := is.known(); set && is.Order == nil && is.Product == nil && is.Notice == nil {
			t.Fatal("known, and says nothing")
		}
		kept, err := json.Marshal(is)
		if err != nil {
			return // a time that no JSON has; it came from none
		}
		var again fact
		if err := json.Unmarshal(kept, &again); err != nil {
			t.Fatalf("kept again it cannot be read: %v", err)
		}
		if diff := cmp.Diff(is, again, cmpopts.EquateEmpty(), cmpopts.EquateComparable(object{})); diff != "" {
			t.Errorf("kept again (-was +is):\n%s", diff)
		}
		if o := is.Object; !strings.Contains(o.Namespace+o.Channel+string(o.Kind), "/") && channelOf(o.name()) != o.channel().String() {
			t.Errorf("%q is of Channel %q, want %q", o.name(), channelOf(o.name()), o.channel())
		}
		if is.weight() < 0 || is.Object.String() == "" {
			t.Errorf("weight %d of %q", is.weight(), is.Object)
		}
		if is.known() && is.Product != nil {
			announced := newestOf([]fact{is, is})
			if results := told([]fact{is}, announced); len(is.Product.Aspects) > 0 && (results[0].outcome != platform.OutcomeRecorded || !announces(is, announced)) {
				t.Errorf("it is not told of itself: %v", results)
			}
		}
	})
}

// FuzzChannelOf: the name of an object of any journal has a Channel or none, and never part of
// the id.
func FuzzChannelOf(f *testing.F) {
	for _, name := range []string{"order/travel/fliggy/a/b", "", "/", "//", "///", "order/travel"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got := channelOf(name); got != "" && (strings.Count(got, "/") != 1 || !strings.Contains(name, "/"+got+"/")) {
			t.Errorf("channelOf(%q) = %q", name, got)
		}
	})
}

// FuzzSuperfluous: from a list that has room nothing is taken, and from a full one no more than
// makes it small enough; what was replied, and what issued codes, goes last.
func FuzzSuperfluous(f *testing.F) {
	f.Add([]byte(`{"spec":{"notifications":[{"id":"1","type":"CodesIssued","receivedAt":"2026-11-22T12:00:00.000000Z","sealed":"YQ=="},{"id":"2","type":"Other"},{"id":"2"}]},"status":{}}`), uint16(300))
	f.Add([]byte(`{"spec":{"notifications":[{"id":"1","reply":{"sealed":"YQ=="}}]}}`), uint16(1))
	f.Fuzz(func(t *testing.T, text []byte, copies uint16) {
		var voucher v1alpha1.OrderVoucher
		if json.Unmarshal(text, &voucher) != nil || len(voucher.Spec.Notifications) == 0 {
			return
		}
		for i := range int(copies) % 300 { // many, or the list is never full
			n := *voucher.Spec.Notifications[i%len(voucher.Spec.Notifications)].DeepCopy()
			n.ID += strings.Repeat("x", i%20) + string(rune('a'+i/20))
			voucher.Spec.Notifications = append(voucher.Spec.Notifications, n)
		}
		weight, there := 0, map[string]int{}
		for _, n := range voucher.Spec.Notifications {
			weight += weigh(n)
			there[n.ID] = weigh(n)
		}
		count, drop := len(voucher.Spec.Notifications), superfluous(&voucher)
		if len(drop) > 0 && count <= keepNotifications && weight <= keepWeight {
			t.Errorf("%d go of %d with weight %d", len(drop), count, weight)
		}
		for id := range drop {
			if _, is := there[id]; !is {
				t.Errorf("%q goes, and is not there", id)
			}
		}
		if len(there) == count && len(drop) > 0 && count-len(drop) < keepNotifications && weight <= keepWeight {
			t.Errorf("%d go of %d", len(drop), count)
		}
	})
}

// FuzzReason: whatever the API server says of a refusal, none of the values that it quotes is
// kept, and what is kept fits the schema.
func FuzzReason(f *testing.F) {
	f.Add("spec.notifications[0].codes[0].id", "FieldValueInvalid", `Invalid value: "x": too long`, "Invalid", int32(422))
	f.Add("<nil>", "", "some rules were not checked", "", int32(0))
	f.Fuzz(func(t *testing.T, field, kind, message, reason string, code int32) {
		err := &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: metav1.StatusReason(reason), Message: "PLANTED",
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Field: field, Type: metav1.CauseType(kind), Message: "PLANTED" + message}}}}}
		kept := reasonOf(err)
		if utf8.RuneCountInString(kept) > maxAsideReason || kept == "" {
			t.Errorf("%q", kept)
		}
		if field != "" && !strings.Contains(field+kind+reason, "PLANTED") && strings.Contains(kept, "PLANTED") {
			t.Errorf("%q quotes", kept)
		}
		if tooLarge(err) && !itsOwn(err) || refusalOf(err) != refusedNot && !errors.As(err, new(*apierrors.StatusError)) {
			t.Errorf("%v is classified two ways", err)
		}
	})
}
