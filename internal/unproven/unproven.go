// Package unproven marks the objects that were made by pushes whose sender nothing proves, and
// tells those from objects that somebody else made with the same label: a restore. It must know
// neither Channels nor platforms.
package unproven

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// layout of the label's value, in UTC, of letters that a label may have.
const layout = "20060102T150405Z"

// apart is how much the clocks of a replica and of the API server may differ.
const apart = 10 * time.Minute

// Label is the value of v1alpha1.LabelUnproven for an object that is made now.
func Label(now time.Time) string { return now.UTC().Format(layout) }

// Marked reports whether an unproven push made this very object. It did not if the label speaks
// of a time before the object was made: who restores an object brings its old label, and seldom
// its status, so that what the platform once confirmed would look as if it never had. A value
// that is no time proves nothing either.
func Marked(o metav1.Object) bool {
	at, err := time.Parse(layout, o.GetLabels()[v1alpha1.LabelUnproven])
	return err == nil && o.GetCreationTimestamp().Sub(at) <= apart
}
