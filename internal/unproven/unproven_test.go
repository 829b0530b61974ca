package unproven

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// An object that is younger than its label was restored, whatever its status says by now.
func TestWhatIsRestoredIsNotMarked(t *testing.T) {
	midday := time.Date(2026, 11, 22, 12, 0, 0, 0, time.FixedZone("", 8*3600))
	label := Label(midday)
	if wrong := validation.IsValidLabelValue(label); len(wrong) > 0 {
		t.Errorf("%s: %v", label, wrong)
	}
	for name, test := range map[string]struct {
		label   string
		created time.Time
		marked  bool
	}{
		"made by a push":                   {label, midday.Add(2 * time.Second), true},
		"the API server's clock is behind": {label, midday.Add(-time.Hour), true},
		"its clock is ahead":               {label, midday.Add(apart), true},
		"restored":                         {label, midday.Add(apart + time.Second), false},
		"restored much later":              {label, midday.AddDate(1, 0, 0), false},
		"a label that does not say when":   {"true", midday, false},
		"none":                             {"", midday, false},
	} {
		o := &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(test.created.UTC())}}
		if test.label != "" {
			o.Labels = map[string]string{v1alpha1.LabelUnproven: test.label}
		}
		if got := Marked(o); got != test.marked {
			t.Errorf("%s: marked: %v", name, got)
		}
	}
}

// What the cache drops of an object it weighs all the same, however often it is dropped.
func TestWhatIsDroppedIsNoted(t *testing.T) {
	o := &metav1.ObjectMeta{}
	if NoteSealed(o, leastSealed-1); Sealed(o) != 0 || o.Annotations != nil {
		t.Errorf("a little is noted: %v", o.Annotations)
	}
	NoteSealed(o, leastSealed)
	if NoteSealed(o, 0); Sealed(o) != leastSealed {
		t.Errorf("%d bytes", Sealed(o))
	}
	if o.Annotations[annotationSealed] = "9223372036854775807"; Sealed(o) != mostSealed {
		t.Errorf("%d bytes", Sealed(o))
	}
	for _, odd := range []string{"-1", "many"} {
		if o.Annotations[annotationSealed] = odd; Sealed(o) != 0 {
			t.Errorf("%s is %d", odd, Sealed(o))
		}
	}
}
