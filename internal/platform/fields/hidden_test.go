package fields_test

import (
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing/sealingtest"
)

func TestObjectShowsNothing(t *testing.T) {
	object, ok := fields.Parse([]byte(`{"a":{"code":"` + sealingtest.Planted + `"}}`))
	if !ok {
		t.Fatal("no object")
	}
	sealingtest.Hidden(t, "Object", object)
	sealingtest.Hidden(t, "the object within", object.Object("a"))
}
