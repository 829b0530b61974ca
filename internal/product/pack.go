package product

import (
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/s2"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// packed is the annotation that keeps packed calendars. It has a name that the API server
// takes for none: so it is in memory only, and nobody else can have set it.
const packed = " calendars"

// Pack takes the calendars out of a product that is to be kept in memory and keeps them
// beside it, at a fifth of what they take: they are most of a product, and are looked at
// only when it is asked for. What is packed already stays as it is.
func Pack(ps *v1alpha1.ProductSync) error {
	var calendars []*v1alpha1.Calendar
	some := false
	for i := range ps.Status.SKUs {
		calendars = append(calendars, ps.Status.SKUs[i].Calendar)
		some = some || ps.Status.SKUs[i].Calendar != nil
		ps.Status.SKUs[i].Calendar = nil
	}
	if !some {
		return nil
	}
	text, err := json.Marshal(calendars)
	if err != nil {
		return fmt.Errorf("pack the calendars of %s/%s: %w", ps.Namespace, ps.Name, err)
	}
	if ps.Annotations == nil {
		ps.Annotations = map[string]string{}
	}
	ps.Annotations[packed] = string(s2.Encode(nil, text))
	return nil
}

// Unpack puts back what Pack took out. A product that was not packed stays as it is.
func Unpack(ps *v1alpha1.ProductSync) error {
	text, found := ps.Annotations[packed]
	if !found {
		return nil
	}
	var calendars []*v1alpha1.Calendar
	raw, err := s2.Decode(nil, []byte(text))
	if err == nil {
		err = json.Unmarshal(raw, &calendars)
	}
	if err == nil && len(calendars) != len(ps.Status.SKUs) {
		err = fmt.Errorf("%d calendars of %d units", len(calendars), len(ps.Status.SKUs))
	}
	if err != nil {
		return fmt.Errorf("unpack the calendars of %s/%s: %w", ps.Namespace, ps.Name, err)
	}
	delete(ps.Annotations, packed)
	if len(ps.Annotations) == 0 {
		ps.Annotations = nil
	}
	for i := range calendars {
		ps.Status.SKUs[i].Calendar = calendars[i]
	}
	return nil
}
