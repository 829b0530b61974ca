package ledger

import (
	"testing"

	"github.com/laidoulaile/channel-operator/internal/sealing/sealingtest"
)

// A body lives from decoding to sealing, and is not printed in between.
func TestBodyShowsNothing(t *testing.T) {
	sealingtest.Hidden(t, "pushBody", &pushBody{text: []byte(sealingtest.Planted)})
	sealingtest.Hidden(t, "pushBody itself", pushBody{text: []byte(sealingtest.Planted)})
}
