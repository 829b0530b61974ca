package fliggy

import (
	"fmt"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
)

// The table that the merchant reads is the table that the code follows.
func TestCodesAreDocumented(t *testing.T) {
	doc := golden.Read(t, filepath.Join("..", "..", "..", "docs", "platforms", "fliggy.md"))
	row := regexp.MustCompile("(?m)^\\| `(\\d{4})` \\| ([^|]+) \\| (\\w+) \\| (\\w+) \\|")
	documented := map[string]string{}
	for _, cells := range row.FindAllSubmatch(doc, -1) {
		documented[string(cells[1])] = fmt.Sprintf("%s, %s %s", cells[2], cells[3], cells[4])
	}
	coded := map[string]string{}
	for code, entry := range errorCodes {
		coded[code] = fmt.Sprintf("%s, %s %s", entry.meaning, entry.kind, entry.reason)
	}
	if diff := cmp.Diff(documented, coded); diff != "" {
		t.Errorf("-docs/platforms/fliggy.md +codes.go:\n%s", diff)
	}
}

// The protocol's own list: a code forgotten in both tables is caught here.
func TestCodesAreComplete(t *testing.T) {
	all := []string{
		"9000", "5001", "5002", "5003", "5004",
		"4001", "4002", "4003", "4004", "4005", "4006", "4007", "4008", "4010", "4101", "4102", "4103", "4104",
		"6001", "7001", "7002", "7003", "7004", "8001", "8002",
	}
	for _, code := range all {
		if _, ok := errorCodes[code]; !ok {
			t.Errorf("code %s is not classified", code)
		}
	}
	if len(errorCodes) != len(all) {
		t.Errorf("%d codes are classified, %d are documented", len(errorCodes), len(all))
	}
}

func TestRefusal(t *testing.T) {
	cases := map[string]struct {
		op, code string
		kind     platform.Kind
		reason   platform.Reason
	}{
		"busy":                              {opProductDetail, "9000", platform.Transient, platform.ReasonUnavailable},
		"signature":                         {opProductDetail, "5001", platform.Refused, platform.ReasonCredentials},
		"signature of an order":             {opSearchOrder, "5001", platform.Refused, platform.ReasonCredentials},
		"signature of refunds":              {opSearchRefund, "5001", platform.Refused, platform.ReasonRequest},
		"one product not granted":           {opProductDetail, "5002", platform.Refused, platform.ReasonNotGranted},
		"one price not granted":             {opPriceStock, "5002", platform.Refused, platform.ReasonNotGranted},
		"one order not granted":             {opSearchOrder, "5002", platform.Refused, platform.ReasonNotGranted},
		"listing not granted":               {opListProducts, "5002", platform.Refused, platform.ReasonCredentials},
		"one product of none":               {opProductDetail, "4004", platform.Refused, platform.ReasonNotGranted},
		"no products at all":                {opListProducts, "4004", platform.Refused, platform.ReasonCredentials},
		"contract expired":                  {opProductDetail, "6001", platform.Refused, platform.ReasonCredentials},
		"unknown product":                   {opProductDetail, "4005", platform.Gone, platform.ReasonNotFound},
		"product withdrawn":                 {opProductDetail, "4006", platform.Gone, platform.ReasonOffSale},
		"unknown order":                     {opSearchOrder, "7004", platform.Gone, platform.ReasonNotFound},
		"a code nobody knows":               {opSearchOrder, "1234", platform.Transient, platform.ReasonUnknownCode},
		"no code":                           {opSearchOrder, "", platform.Transient, platform.ReasonUnknownCode},
		"failure with the code for success": {opSearchOrder, "2000", platform.Transient, platform.ReasonUnknownCode},
	}
	for name, tc := range cases {
		got := refusal(tc.op, tc.code, "")
		if got.Kind != tc.kind || got.Reason != tc.reason || got.Code != tc.code || got.Op != tc.op || got.Text == "" {
			t.Errorf("%s: %+v, want %s %s", name, got, tc.kind, tc.reason)
		}
	}
}
