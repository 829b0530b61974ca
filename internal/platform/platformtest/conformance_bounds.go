package platformtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// Bounds of the API on what comes from a platform, in characters.
const (
	maxID     = 128
	maxReason = 512
	// maxPrefix is how long an id may be that has a hash of the content behind it.
	maxPrefix = 90
)

// creditPattern is a plain decimal.
var creditPattern = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// forms and cancellationTypes are the API's.
var (
	forms = []string{"", platform.FormPDF, platform.FormBarcode, platform.FormQRCode, platform.FormConfirmationNumber, platform.FormURL}

	cancellationTypes = []string{"", "NotCancellable", "Manual", "ByRule", "NoRefundOrChange", "FreeBeforeReservation"}
)

// kinds are the API's types of order notifications.
var kinds = []string{"CodesRequested", "CodesIssued", "CodeUsed", "CodeUseCancelled", "Paid", "RefundRequested", "Refunded",
	"Cancelled", "StatusChanged", "Booking", "Other"}

var aspects = []platform.Aspect{platform.AspectInfo, platform.AspectPrice, platform.AspectStock, platform.AspectAvailability}

// checkEvent checks that an event can be written to the API as it is.
func checkEvent(e platform.Event) error {
	set := 0
	var errs []error
	if p := e.Product; p != nil {
		set++
		errs = append(errs, required("MessageID", p.MessageID), required("ProductID", p.ProductID), required("Type", p.Type))
		if len(p.Aspects) == 0 || slices.ContainsFunc(p.Aspects, func(a platform.Aspect) bool { return !slices.Contains(aspects, a) }) {
			errs = append(errs, fmt.Errorf("aspects %q", p.Aspects))
		}
	}
	if o := e.Order; o != nil {
		set++
		errs = append(errs, checkNotification(o))
	}
	if n := e.Notice; n != nil {
		set++
		errs = append(errs, required("MessageID", n.MessageID), required("PlatformType", n.PlatformType), bounded("Subject", n.Subject, maxID), bounded("Detail", n.Detail, maxReason))
	}
	if c := e.Credit; c != nil {
		set++
		if len(c.Amount) > 32 || !creditPattern.MatchString(c.Amount) {
			errs = append(errs, fmt.Errorf("a credit of %.40q is no plain decimal", c.Amount))
		}
	}
	if set != 1 {
		errs = append(errs, fmt.Errorf("an event with %d facts", set))
	}
	return errors.Join(errs...)
}

func checkNotification(o *platform.OrderNotification) error {
	errs := []error{
		required("MessageID", o.MessageID), required("OrderID", o.OrderID), required("PlatformType", o.PlatformType),
		bounded("OutOrderID", o.OutOrderID, maxID), bounded("Reason", o.Reason, maxReason),
		bounded("Remark", o.Remark, maxReason), checkPrice(o.Price),
	}
	if len(o.Content) > 0 {
		errs = append(errs, bounded("MessageID before a hash", o.MessageID, maxPrefix))
	}
	if o.Cancellation != nil && !slices.Contains(cancellationTypes, o.Cancellation.Type) {
		errs = append(errs, fmt.Errorf("cancellation %q is none of the API's", o.Cancellation.Type))
	}
	if o.Replied != nil {
		errs = append(errs, checkReplied(o))
	}
	if !slices.Contains(kinds, o.Kind) {
		errs = append(errs, fmt.Errorf("kind %q is none of the API's", o.Kind))
	}
	for _, c := range o.Codes {
		errs = append(errs, checkCode(c))
	}
	if o.Refund != nil {
		errs = append(errs, checkRefund(*o.Refund))
	}
	return errors.Join(errs...)
}

// checkReplied checks what is kept of a reply: a deadline only while an answer is owed, a
// body only where it holds codes.
func checkReplied(o *platform.OrderNotification) error {
	switch o.Replied.Result {
	case platform.ResultPending, platform.ResultApproved, platform.ResultRefused:
		if len(o.Replied.Body) > 0 {
			return fmt.Errorf("replied %s, and the reply is kept", o.Replied.Result)
		}
	case platform.ResultIssued:
	default:
		return fmt.Errorf("replied %q", o.Replied.Result)
	}
	if o.Replied.Result != platform.ResultPending && !o.Deadline.IsZero() {
		return fmt.Errorf("replied %s, and an answer is owed", o.Replied.Result)
	}
	return nil
}

func checkCode(c platform.Code) error {
	if c.Text.IsZero() && c.ID == "" {
		return errors.New("a code without text and without an id of its own")
	}
	if !slices.Contains(forms, c.Form) {
		return fmt.Errorf("form %q is none of the API's", c.Form)
	}
	return errors.Join(bounded("code ID", c.ID, maxID), positive("Persons", c.Persons), positive("Used", c.Used), positive("Refunded", c.Refunded))
}

// checkPrice: an amount and its currency come together, or as they were written.
func checkPrice(p *platform.Price) error {
	if p == nil {
		return nil
	}
	if (p.Amount == nil) != (p.Currency == "") || p.Currency != "" && len(p.Currency) != 3 {
		return fmt.Errorf("a price with an amount: %t, in %q", p.Amount != nil, p.Currency)
	}
	return errors.Join(required("Price", p.Text), positive("Price", p.Amount))
}

func checkRefund(r platform.RefundFact) error {
	err := errors.Join(bounded("refund ID", r.ID, maxID), bounded("refund Reason", r.Reason, maxReason),
		positive("Amount", r.Amount), positive("Quantity", r.Quantity))
	if r.Amount != nil && len(r.Currency) != 3 {
		err = errors.Join(err, fmt.Errorf("an amount in %q", r.Currency))
	}
	return err
}

func required(name, text string) error {
	if text == "" {
		return fmt.Errorf("%s is empty", name)
	}
	return bounded(name, text, maxID)
}

func bounded(name, text string, limit int) error {
	if n := utf8.RuneCountInString(text); n > limit {
		return fmt.Errorf("%s has %d characters, more than %d", name, n, limit)
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fmt.Errorf("%s is no text that the API takes", name)
	}
	return nil
}

func positive(name string, n *int64) error {
	if n != nil && *n < 0 {
		return fmt.Errorf("%s is %d", name, *n)
	}
	return nil
}

// sameSubject reports whether two events are about the same thing: same message, same
// product or order.
func sameSubject(a, b platform.Event) bool { return subjectOf(a) == subjectOf(b) }

func subjectOf(e platform.Event) [4]string {
	switch {
	case e.Product != nil:
		return [4]string{"product", e.Product.MessageID, e.Product.ProductID}
	case e.Order != nil:
		return [4]string{"order", e.Order.MessageID, e.Order.OrderID, e.Order.OutOrderID}
	case e.Notice != nil:
		return [4]string{"notice", e.Notice.MessageID, e.Notice.Subject}
	case e.Credit != nil:
		return [4]string{"credit", e.Credit.Amount}
	}
	return [4]string{}
}

// hostile are values put in the place of every value of every JSON sample.
var hostile = []any{
	nil, true, "", " ", "\x00", "\u202e", "null", "-1", "1e400", "../..", strings.Repeat("x", 129), strings.Repeat("宽", 129),
	strings.Repeat("9", 10_000), json.Number("-1"), json.Number("0"), json.Number("1.5"), json.Number("1e19"), json.Number("1e400"),
	json.Number("9223372036854775808"), json.Number("-9223372036854775809"), []any{}, []any{nil}, []any{"x", json.Number("1")}, map[string]any{},
	map[string]any{"": nil},
}

// checkHostile: whatever stands in a push, it is refused as malformed or within the
// API's bounds, never a panic.
func checkHostile(s Subject) error {
	var errs []error
	tried := map[string]bool{}
	for _, sample := range s.Samples {
		if sample.Foreign {
			continue // it says nothing that those about us do not
		}
		var value any
		decoder := json.NewDecoder(bytes.NewReader(sample.Body))
		decoder.UseNumber()
		if decoder.Decode(&value) != nil {
			continue // a form: its values were tried by its JSON twin
		}
		like := sample.Path + " " + sample.Type + " " + shape(value)
		if tried[like] {
			continue // another sample has the same fields, and is read the same way
		}
		tried[like] = true
		for _, variant := range variants(value) {
			body := mustMarshal(variant)
			got, err := s.decode(sample.push(body), sample.Inquiry)
			if err != nil {
				err = wellRefused(err, sample)
			} else {
				err = s.checkDecoded(got)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s as %.300s: %w", sample.Name, body, err))
			}
		}
	}
	return errors.Join(errs[:min(len(errs), 20)]...)
}

// shape is what fields a value has, and of what kinds they are.
func shape(value any) string {
	switch v := value.(type) {
	case map[string]any:
		var fields []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			fields = append(fields, key+":"+shape(v[key]))
		}
		return "{" + strings.Join(fields, ",") + "}"
	case []any:
		var all []string
		for _, inner := range v {
			all = append(all, shape(inner))
		}
		return "[" + strings.Join(slices.Compact(all), ",") + "]"
	case string:
		var inner map[string]any
		if json.Unmarshal([]byte(v), &inner) == nil && inner != nil {
			return "text of " + shape(inner)
		}
	}
	return fmt.Sprintf("%T", value)
}

// variants are copies of the value with one thing in it hostile, missing or repeated.
// JSON objects inside texts are altered too.
func variants(value any) []any {
	all := slices.Clone(hostile)
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			without := maps.Clone(v)
			delete(without, key)
			all = append(all, without)
			for _, inner := range variants(v[key]) {
				with := maps.Clone(v)
				with[key] = inner
				all = append(all, with)
			}
		}
	case []any:
		all = append(all, slices.Repeat(v, 600))
		for i := range v {
			for _, inner := range variants(v[i]) {
				with := slices.Clone(v)
				with[i] = inner
				all = append(all, with)
			}
		}
	case string:
		var inner map[string]any
		if json.Unmarshal([]byte(v), &inner) == nil && inner != nil {
			for _, variant := range variants(inner) {
				all = append(all, string(mustMarshal(variant)))
			}
		}
	}
	return all
}
