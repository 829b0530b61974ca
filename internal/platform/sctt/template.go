package sctt

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// nameSecret stands for the secret in a template.
const nameSecret = "secret"

// templateFields are the top-level fields of calls and pushes that hold a text or a number
// (documented). Those that hold objects and lists are not here: whether they are signed,
// and how they would be written then, is unknown.
var templateFields = []string{
	"merchant_id", "request_time",
	// Of the calls.
	"language", "key", "cid", "pageno", "pagesize", "product_id", "start_date", "end_date",
	// Of the pushes.
	"trade_number", "order_code", "total_price", "order_label", "order_currency", "order_status",
	"certificate_mode", "travel_itinerary_url", "surplus_quota", "cancel_type", "remark",
}

// template is a text with the names of fields in it.
type template []piece

// piece of a template: a text as it stands, or the name of a field.
type piece struct{ text, field string }

// parseTemplate reads a text with names in braces. Braces cannot be had in any other way.
func parseTemplate(text string) (template, error) {
	if text == "" {
		return nil, errors.New("is empty")
	}
	var t template
	for text != "" {
		before, after, found := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return nil, errors.New("has a } without a {")
		}
		if before != "" {
			t = append(t, piece{text: before})
		}
		if !found {
			break
		}
		name, rest, closed := strings.Cut(after, "}")
		if err := checkName(name, closed); err != nil {
			return nil, err
		}
		t, text = append(t, piece{field: name}), rest
	}
	return t, nil
}

func checkName(name string, closed bool) error {
	switch {
	case !closed:
		return errors.New("has a { without a }")
	case name == "":
		return errors.New("names no field in {}")
	case name != nameSecret && !slices.Contains(templateFields, name):
		return fmt.Errorf("names %s}, which is no top-level field of a call or push that holds a text or a number",
			fields.Shorten("{"+name, maxName))
	}
	return nil
}

// maxName bounds what is shown of a name that is none.
const maxName = 65

func (t template) names(field string) bool {
	return slices.ContainsFunc(t, func(p piece) bool { return p.field == field })
}

// render writes the template out for a message. A field that the message does not have is
// empty, a text is its value, and a number is as it was written. The error names a field
// that holds anything else.
func (t template) render(message fields.Object, secret sealing.Secret) (string, error) {
	message = message.Quiet()
	var text strings.Builder
	for _, p := range t {
		switch p.field {
		case "":
			text.WriteString(p.text)
		case nameSecret:
			text.WriteString(secret.Reveal())
		default:
			text.WriteString(message.Text(p.field))
		}
	}
	if fault := message.Fault(); fault != "" {
		return "", errors.New(fault)
	}
	return text.String(), nil
}
