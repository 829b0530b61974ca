// Package money reads and prints decimal amounts as integer minor units of an
// ISO 4217 currency, without floats. It knows nothing of products and orders.
package money

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/shopspring/decimal"
	"golang.org/x/text/currency"
)

// ErrNotMoney is returned for a text that is no amount of the currency: not a
// decimal number, finer than the currency's minor unit, or out of range.
var ErrNotMoney = errors.New("not an amount of money")

// maxText bounds what is parsed: an amount of int64 minor units has at most 19
// digits, a sign, a point and, from lenient writers, some trailing zeros.
const maxText = 40

// MinorUnits reads a decimal text such as "350.50" as minor units of the currency:
// 35050 for CNY. Trailing zeros beyond the minor unit are accepted; digits are not,
// and neither are exponents, which no platform writes for money.
func MinorUnits(text, code string) (int64, error) {
	scale, err := scaleOf(code)
	if err != nil {
		return 0, err
	}
	if len(text) > maxText || strings.ContainsAny(text, "eE") {
		return 0, fmt.Errorf("%w: %.40q", ErrNotMoney, text)
	}
	d, err := decimal.NewFromString(text)
	if err != nil {
		return 0, fmt.Errorf("%w: %q", ErrNotMoney, text)
	}
	minor := d.Shift(scale)
	if !minor.IsInteger() {
		return 0, fmt.Errorf("%w: %q is finer than the minor unit of %s", ErrNotMoney, text, code)
	}
	if !minor.BigInt().IsInt64() {
		return 0, fmt.Errorf("%w: %q is out of range", ErrNotMoney, text)
	}
	return minor.IntPart(), nil
}

// Format prints minor units with the currency's code: 35050 CNY is "350.50 CNY".
// An unknown currency is printed as minor units.
func Format(minor int64, code string) string {
	return Decimal(minor, code) + " " + code
}

// Decimal prints minor units as a decimal without the code.
func Decimal(minor int64, code string) string {
	scale, err := scaleOf(code)
	if err != nil {
		scale = 0
	}
	return decimal.New(minor, -scale).StringFixed(scale)
}

// IsCode reports whether a text has the form of an ISO 4217 code, as the API's schema has it.
func IsCode(code string) bool {
	if len(code) != 3 {
		return false
	}
	for _, letter := range []byte(code) {
		if letter < 'A' || letter > 'Z' {
			return false
		}
	}
	return true
}

// symbols that people write for one currency only. "$", "¥" and "kr" stand for several: they
// are not here.
var symbols = map[string]string{
	"A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "HK$": "HKD", "MOP$": "MOP", "NT$": "TWD", "NZ$": "NZD",
	"S$": "SGD", "SG$": "SGD", "US$": "USD", "CN¥": "CNY", "CN￥": "CNY", "RMB": "CNY", "JP¥": "JPY", "JP￥": "JPY",
	"€": "EUR", "£": "GBP", "₩": "KRW", "฿": "THB", "₫": "VND", "₱": "PHP", "₹": "INR", "₽": "RUB", "₺": "TRY", "₪": "ILS",
}

// Code is the ISO 4217 code of a currency as people write it: a code, in capitals or not,
// or a symbol that stands for one currency only. Empty for anything else.
func Code(text string) string {
	text = strings.TrimSpace(text)
	if code, ok := symbols[strings.ToUpper(text)]; ok {
		return code
	}
	code := strings.ToUpper(text)
	// ISO 4217 keeps the code XXX for "no currency" and XTS for testing: neither is a currency.
	if _, err := scaleOf(code); err != nil || !IsCode(code) || code == "XXX" || code == "XTS" {
		return ""
	}
	return code
}

// Plus adds what is not negative, amounts or counts, and stays at the largest number there is.
func Plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func scaleOf(code string) (int32, error) {
	unit, err := currency.ParseISO(code)
	if err != nil {
		return 0, fmt.Errorf("unknown currency %q: %w", code, err)
	}
	scale, _ := currency.Standard.Rounding(unit)
	return int32(scale), nil // #nosec G115 -- a currency's scale is at most 4
}
