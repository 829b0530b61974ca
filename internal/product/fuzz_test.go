package product_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/product"
)

// FuzzPack: whatever the API server hands out, what is packed comes back as it was.
func FuzzPack(f *testing.F) {
	f.Add([]byte(`[{"id":"1","calendar":{"start":"2026-11-22","days":30,"prices":[{"from":"2026-11-22","amount":35050,"market":1}],"stock":"1*30","closed":["2026-12-24"]}},{"id":"2"}]`))
	f.Add([]byte(`[{"calendar":{}},{"calendar":null},{"calendar":{"days":-1,"stock":"\u0000"}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		was := &v1alpha1.ProductSync{}
		if json.Unmarshal(text, &was.Status.SKUs) != nil {
			return
		}
		ps := was.DeepCopy()
		if err := product.Pack(ps); err != nil {
			t.Fatal(err)
		}
		for _, sku := range ps.Status.SKUs {
			if sku.Calendar != nil {
				t.Fatal("a calendar is left")
			}
		}
		if err := product.Unpack(ps); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(was, ps, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}
