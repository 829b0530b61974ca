package money_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/money"
)

func TestMinorUnits(t *testing.T) {
	for text, want := range map[string]int64{
		"350.50": 35050, "399": 39900, "399.00": 39900, "0.1": 10, "-1.25": -125, "350.5000": 35050, "0": 0,
	} {
		if got, err := money.MinorUnits(text, "CNY"); err != nil || got != want {
			t.Errorf("MinorUnits(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "1.005", "1e2", "1E999999999", "99999999999999999999", "NaN", "0x10", "1,000"} {
		if got, err := money.MinorUnits(text, "CNY"); !errors.Is(err, money.ErrNotMoney) {
			t.Errorf("MinorUnits(%q) = %d, %v; want ErrNotMoney", text, got, err)
		}
	}
	if got, err := money.MinorUnits("1200", "JPY"); err != nil || got != 1200 {
		t.Errorf("yen: %d, %v", got, err)
	}
	if _, err := money.MinorUnits("1", "nope"); err == nil {
		t.Error("an unknown currency was accepted")
	}
}

func TestFormatAndMinorUnitsAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64().Draw(t, "minor")
		code := rapid.SampledFrom([]string{"CNY", "JPY", "KWD", "AUD"}).Draw(t, "currency")
		got, err := money.MinorUnits(money.Decimal(want, code), code)
		if err != nil || got != want {
			t.Fatalf("%d %s came back as %d, %v", want, code, got, err)
		}
	})
	if got := money.Format(35050, "CNY"); got != "350.50 CNY" {
		t.Errorf("Format = %q", got)
	}
}

func TestCode(t *testing.T) {
	for text, want := range map[string]string{
		"AUD": "AUD", "aud": "AUD", " CNY ": "CNY", "A$": "AUD", "a$": "AUD", "RMB": "CNY", "€": "EUR", "HK$": "HKD",
		"$": "", "¥": "", "￥": "", "kr": "", "": "", "ZZZ": "", "XXX": "", "xts": "", "AU": "", "AUDX": "", "澳元": "", "A": "", "12$": "",
	} {
		if got := money.Code(text); got != want {
			t.Errorf("Code(%q) = %q, want %q", text, got, want)
		}
	}
}
