package money_test

import (
	"errors"
	"math/big"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/money"
)

// FuzzMinorUnits: what is read of a text is exactly the number it names, and written again it
// is read the same.
func FuzzMinorUnits(f *testing.F) {
	for _, text := range []string{"350.50", "-0", "+1", ".5", "5.", "1_000", "0x1", "1e2", "9223372036854775807", "-92233720368547758.08", "٣"} {
		f.Add(text, "CNY")
	}
	f.Add("1.000", "JPY")
	f.Add("1.0001", "KWD")
	f.Fuzz(func(t *testing.T, text, code string) {
		minor, err := money.MinorUnits(text, code)
		if err != nil {
			if minor != 0 || !errors.Is(err, money.ErrNotMoney) && code != "" && money.Code(code) == code {
				t.Errorf("%d, %v", minor, err)
			}
			return
		}
		written := money.Decimal(minor, code)
		is, isNumber := new(big.Rat).SetString(text)
		again, _ := new(big.Rat).SetString(written)
		if !isNumber || is.Cmp(again) != 0 {
			t.Errorf("%q %s is read as %d, %s", text, code, minor, written)
		}
		if got, err := money.MinorUnits(written, code); err != nil || got != minor {
			t.Errorf("%s comes back as %d, %v", written, got, err)
		}
	})
}

// FuzzCode: any text is a currency by its code, or none.
func FuzzCode(f *testing.F) {
	for _, text := range []string{"cny", " A$ ", "￥", "XXX", "ſek", "a$\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code := money.Code(text)
		if code == "" {
			return
		}
		if !money.IsCode(code) || money.Code(code) != code {
			t.Errorf("Code(%q) = %q", text, code)
		}
		if _, err := money.MinorUnits("1", code); err != nil {
			t.Errorf("Code(%q) = %q: %v", text, code, err)
		}
	})
}
