package order_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/order"
)

// A platform that tells time by the second may push a use and its end in the same one:
// whatever their ids and their order, the end is the later.
func TestUseAndItsEndInTheSameSecond(t *testing.T) {
	at := metav1.NewMicroTime(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	code := []v1alpha1.Code{{ID: "h1:a", Hint: "A•••"}}
	one := int64(1)
	none := int64(0)
	for _, ids := range [][2]string{{"a", "b"}, {"b", "a"}} {
		used := v1alpha1.Notification{ID: ids[0], Type: v1alpha1.NotificationCodeUsed, OccurredAt: &at, Codes: code}
		ended := v1alpha1.Notification{ID: ids[1], Type: v1alpha1.NotificationCodeUseCancelled, OccurredAt: &at, Codes: code}
		for _, pushed := range [][]v1alpha1.Notification{{used, ended}, {ended, used}} {
			answer := &order.Answer{State: order.Issued, Codes: []v1alpha1.Code{{ID: "h1:a", Hint: "A•••", Persons: &one, Used: &none}}}
			if outcome := order.Fold(pushed, order.Evidence{Answer: answer}); len(outcome.Unconfirmed) != 0 {
				t.Errorf("ids %v: %v", ids, outcome.Unconfirmed)
			}
			if outcome := order.Fold(pushed, order.Evidence{Trusted: true}); outcome.Status.Phase != v1alpha1.OrderIssued {
				t.Errorf("ids %v: phase %s", ids, outcome.Status.Phase)
			}
		}
	}
}

// Codes that were issued without the platform's ids of their units are not looked for
// among those that the platform names by such ids; others are.
func TestIssuedWithoutIDs(t *testing.T) {
	pushed := func(ref string) []v1alpha1.Notification {
		return []v1alpha1.Notification{{ID: "m", Type: v1alpha1.NotificationCodesIssued, PlatformType: "p", Codes: []v1alpha1.Code{{ID: "h1:text", Hint: "A•••", Ref: ref}}}}
	}
	for name, test := range map[string]struct {
		pushed []v1alpha1.Notification
		listed []v1alpha1.Code
		claims int
	}{
		"listed by id":              {pushed(""), []v1alpha1.Code{{ID: "h1:id", Hint: "7•••", Ref: "7"}}, 0},
		"listed, and not by id":     {pushed(""), []v1alpha1.Code{{ID: "h1:other", Hint: "7•••"}}, 1},
		"one listed without its id": {pushed(""), []v1alpha1.Code{{ID: "h1:id", Hint: "7•••", Ref: "7"}, {ID: "h1:other", Hint: "8•••"}}, 1},
		"none listed":               {pushed(""), nil, 1},
		"pushed by another id":      {pushed("8"), []v1alpha1.Code{{ID: "h1:id", Hint: "7•••", Ref: "7"}}, 1},
	} {
		outcome := order.Fold(test.pushed, order.Evidence{Answer: &order.Answer{State: order.Issued, Codes: test.listed}})
		if len(outcome.Unconfirmed) != test.claims {
			t.Errorf("%s: %v", name, outcome.Unconfirmed)
		}
	}
}

// What was used may be refunded too, and then the platform may no longer tell the use:
// that it was pushed is no contradiction.
func TestUseBeforeARefundIsNotDoubted(t *testing.T) {
	n := func(i int64) *int64 { return &i }
	pushed := []v1alpha1.Notification{{ID: "m", Type: v1alpha1.NotificationCodeUsed, PlatformType: "p", Codes: []v1alpha1.Code{{ID: "h1:a", Hint: "7•••", Ref: "7"}}}}
	for name, test := range map[string]struct {
		listed v1alpha1.Code
		doubts int
	}{
		"refunded":                    {v1alpha1.Code{ID: "h1:a", Hint: "7•••", Ref: "7", Persons: n(1), Used: n(0), Refunded: n(1)}, 0},
		"refunded in part":            {v1alpha1.Code{ID: "h1:a", Hint: "7•••", Ref: "7", Persons: n(2), Used: n(0), Refunded: n(1)}, 1},
		"its use is not told":         {v1alpha1.Code{ID: "h1:a", Hint: "7•••", Ref: "7", Persons: n(1)}, 0},
		"not used":                    {v1alpha1.Code{ID: "h1:a", Hint: "7•••", Ref: "7", Persons: n(1), Used: n(0)}, 1},
		"not told, and has no id":     {v1alpha1.Code{ID: "h1:a", Hint: "7•••", Persons: n(1)}, 1},
		"used, as was pushed":         {v1alpha1.Code{ID: "h1:a", Hint: "7•••", Ref: "7", Persons: n(1), Used: n(1)}, 0},
		"used, and then all refunded": {v1alpha1.Code{ID: "h1:a", Hint: "7•••", Ref: "7", Persons: n(1), Used: n(1), Refunded: n(1)}, 0},
	} {
		outcome := order.Fold(pushed, order.Evidence{Answer: &order.Answer{State: order.Issued, Codes: []v1alpha1.Code{test.listed}}})
		if len(outcome.Unconfirmed) != test.doubts {
			t.Errorf("%s: %v", name, outcome.Unconfirmed)
		}
	}
}
