package sctt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// order is what a voucher push says of an order, as its fields.
type order map[string]any

func drawOrder(t *rapid.T) order {
	text := rapid.StringMatching(`[A-Za-z0-9<&é]{0,6}`)
	o := order{
		"trade_number": text.Draw(t, "trade"), "order_code": json.Number(fmt.Sprint(rapid.IntRange(1, 1<<40).Draw(t, "code"))),
		"order_status": rapid.IntRange(0, 9).Draw(t, "status"), "order_currency": rapid.SampledFrom([]string{"AUD", "A$", ""}).Draw(t, "currency"),
		"total_price": json.Number(rapid.SampledFrom([]string{"0", "120", "120.50", "1e2"}).Draw(t, "price")),
		"remark":      text.Draw(t, "remark"), "subjoin": map[string]any{"number": text.Draw(t, "number")},
	}
	var tickets []any
	for range rapid.IntRange(0, 3).Draw(t, "tickets") {
		tickets = append(tickets, map[string]any{
			"voucher_type": rapid.IntRange(1, 6).Draw(t, "type"), "voucher_confirmation": text.Draw(t, "confirmation"), "voucher_url": text.Draw(t, "url"),
		})
	}
	o["vouchers"] = []any{map[string]any{"confirm_remarks": text.Draw(t, "remarks"), "voucherlist": tickets}}
	return o
}

// write writes a value with its fields in any order, white space anywhere, and fields that
// say nothing added to any object.
func write(t *rapid.T, value any) string {
	space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
	switch v := value.(type) {
	case order:
		return write(t, map[string]any(v))
	case map[string]any:
		var parts []string
		for _, name := range rapid.Permutation(slices.Sorted(maps.Keys(v))).Draw(t, "order") {
			parts = append(parts, space+quote(name)+":"+space+write(t, v[name]))
		}
		if nothing := rapid.SampledFrom([]string{"", `null`, `""`, `[]`, `{}`, `{"a":[null,""]}`}).Draw(t, "nothing"); nothing != "" {
			parts = append(parts, `"nothing":`+nothing)
		}
		return "{" + strings.Join(parts, ",") + space + "}"
	case []any:
		var parts []string
		for _, entry := range v {
			parts = append(parts, write(t, entry))
		}
		return "[" + space + strings.Join(parts, space+",") + "]"
	}
	var raw bytes.Buffer
	encoder := json.NewEncoder(&raw)
	encoder.SetEscapeHTML(rapid.Bool().Draw(t, "escape"))
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(raw.String())
}

// copied is the order in a copy of its push.
func copied(t *rapid.T, o order) string {
	push := maps.Clone(o)
	for _, name := range []string{fieldMerchant, fieldTime, fieldSign, fieldCredit} {
		if rapid.Bool().Draw(t, name) {
			push[name] = fmt.Sprint(rapid.IntRange(0, 1000).Draw(t, "value of "+name))
		}
	}
	return write(t, push)
}

func firstOrder(t *rapid.T, body string) *platform.OrderNotification {
	events, err := decode(pathVoucher, []byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return events[0].Order
}

// All copies of a push are the same fact.
func TestCopiesSayTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOrder(t)
		one, two := firstOrder(t, copied(t, o)), firstOrder(t, copied(t, o))
		if diff := cmp.Diff(one, two, golden.SameSecrets); diff != "" {
			t.Fatalf("two copies differ:\n%s", diff)
		}
	})
}

// A push that says something else of an order is another fact.
func TestChangesAreNewFacts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOrder(t)
		changed := maps.Clone(o)
		ticket := map[string]any{"voucher_type": 3, "voucher_confirmation": "changed"}
		change := rapid.SampledFrom([]string{"order_status", "order_code", "total_price", "vouchers", "remark", "trade_number", "later"}).Draw(t, "change")
		changed[change] = map[string]any{
			"order_status": 17, "order_code": 0, "total_price": 77, "remark": "changed", "trade_number": "changed", "later": false,
			"vouchers": []any{map[string]any{"voucherlist": []any{ticket}}},
		}[change]
		one, two := firstOrder(t, copied(t, o)), firstOrder(t, copied(t, changed))
		if one.MessageID == two.MessageID && string(one.Content) == string(two.Content) {
			t.Fatalf("%s changed, and the fact is the same", change)
		}
	})
}

// The rows of a cancel push are facts of their own: the batch they come in is not.
func TestRowsSayTheSameInAnyBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rows []any
		for i := range rapid.IntRange(1, 5).Draw(t, "rows") {
			rows = append(rows, map[string]any{"order_code": i, "cancel_status": rapid.IntRange(1, 4).Draw(t, "status"), "remark": ""})
		}
		again := rapid.Permutation(append(slices.Clone(rows), rows[0])).Draw(t, "again")
		if diff := cmp.Diff(rowsByOrder(t, rows), rowsByOrder(t, again)); diff != "" {
			t.Fatalf("in another batch:\n%s", diff)
		}
	})
}

func rowsByOrder(t *rapid.T, rows []any) map[string]string {
	events, err := decode(pathCancel, []byte(copied(t, order{"orderlist": rows})))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, event := range events {
		if _, twice := all[event.Order.OrderID]; twice {
			t.Fatal("a row is told twice")
		}
		all[event.Order.OrderID] = event.Order.MessageID + string(event.Order.Content)
	}
	return all
}

// A template is written out piece by piece, and nothing in a value is read as a template.
func TestRendering(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := map[string]any{}
		for _, name := range templateFields {
			switch rapid.IntRange(0, 3).Draw(t, name) {
			case 0:
				values[name] = rapid.StringMatching(`[{}a-z_<&\\"中]{0,8}`).Draw(t, "text")
			case 1:
				values[name] = json.Number(rapid.StringMatching(`-?[1-9][0-9]{0,20}(\.[0-9]{1,4})?(E[1-9])?`).Draw(t, "number"))
			case 2:
				values[name] = nil
			}
		}
		secret := rapid.StringMatching(`[{}a-z]{1,12}`).Draw(t, "secret")
		var text, want string
		for range rapid.IntRange(1, 6).Draw(t, "pieces") {
			if rapid.Bool().Draw(t, "literal") {
				literal := rapid.StringMatching(`[a-z&=|中 ]{1,4}`).Draw(t, "piece")
				text, want = text+literal, want+literal
				continue
			}
			name := rapid.SampledFrom(append([]string{nameSecret}, templateFields...)).Draw(t, "name")
			text += "{" + name + "}"
			switch v := values[name].(type) {
			case string:
				want += v
			case json.Number:
				want += v.String()
			}
			if name == nameSecret {
				want += secret
			}
		}
		parsed, err := parseTemplate(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		message, _ := fields.Parse([]byte(write(t, values)))
		if got, err := parsed.render(message, sealing.NewSecret(secret)); err != nil || got != want {
			t.Fatalf("%s: %q, %v; want %q", text, got, err, want)
		}
	})
}

// Any text is a template or is refused with a reason; none panics.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"", "{secret}", "{{", "}{", "{merchant_id}{request_time}{secret}", "a{b", "{}"} {
		f.Add(text)
	}
	message, _ := fields.Parse([]byte(`{"merchant_id":1}`))
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseTemplate(text)
		if err != nil {
			return
		}
		if _, err := parsed.render(message, sealing.NewSecret("x")); err != nil {
			t.Error(err)
		}
		if strings.Count(text, "{") != strings.Count(text, "}") {
			t.Errorf("%q has braces that are not paired", text)
		}
	})
}
