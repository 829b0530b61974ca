package unproven

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// annotationSealed is how many bytes of sealed bodies were dropped from a copy in the cache. No object of
// the API server has it.
const annotationSealed = v1alpha1.GroupName + "/sealed-bytes"

// leastSealed is from how many bytes on that is noted: of less it is not worth its memory. mostSealed is
// more than any object has: whoever may change an object may write the annotation, too.
const leastSealed, mostSealed = 4 << 10, 2 << 20

// NoteSealed notes on a copy in the cache how many bytes of sealed bodies are dropped from it: whoever
// bounds what unproven pushes have written must know what an object weighs. A copy from which they
// were dropped before keeps its note.
func NoteSealed(o metav1.Object, bytes int) {
	if bytes < leastSealed {
		return
	}
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationSealed] = strconv.Itoa(bytes)
	o.SetAnnotations(annotations)
}

// Sealed is what was noted; 0 if nothing was.
func Sealed(o metav1.Object) int {
	bytes, err := strconv.Atoi(o.GetAnnotations()[annotationSealed])
	if err != nil || bytes < 0 {
		return 0
	}
	return min(bytes, mostSealed)
}
