package fliggy

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/laidoulaile/channel-operator/internal/money"
)

const (
	maxID     = 128 // runes of an id, as the API bounds it
	maxReason = 512 // runes of a text that explains
)

// china is the zone of the platform's days and of its times without a zone
// (inferred; the document names none). China has had no daylight saving time since
// 1991, so a fixed zone is exact.
var china = time.FixedZone("UTC+8", 8*60*60)

// object is a JSON object that is read field by field. Numbers may be written as
// numbers or as texts; null and "" are absent. The first field that is wrong is
// kept in fault, by its path and never by its value: a value may be a secret.
type object struct {
	path   string
	fields map[string]json.RawMessage
	fault  *fault
}

// fault is shared by an object and all the objects within it.
type fault struct{ text string }

// parseObject reads text that is exactly one JSON object.
func parseObject(text []byte) (object, bool) {
	o := object{fault: &fault{}}
	err := json.Unmarshal(text, &o.fields)
	return o, err == nil && o.fields != nil
}

// fail keeps the first fault.
func (o object) fail(name, rule string) {
	if o.fault.text == "" {
		o.fault.text = o.path + name + " " + rule
	}
}

// has reports whether the field is there and says something.
func (o object) has(name string) bool {
	switch strings.TrimSpace(string(o.fields[name])) {
	case "", "null", `""`:
		return false
	}
	return true
}

// require faults the first of the fields that is absent.
func (o object) require(names ...string) {
	for _, name := range names {
		if !o.has(name) {
			o.fail(name, "is missing")
			return
		}
	}
}

// scalar gives the text of a string or a number; quoted tells which it was.
func (o object) scalar(name string) (text string, quoted bool) {
	if !o.has(name) {
		return "", false
	}
	raw := o.fields[name]
	switch c := raw[0]; {
	case c == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			o.fail(name, "is not a JSON string")
		}
		return text, true
	case c == '-' || '0' <= c && c <= '9':
		return string(raw), false
	}
	o.fail(name, "is neither a text nor a number")
	return "", false
}

// text reads a field that has no rules of its own.
func (o object) text(name string) string {
	text, _ := o.scalar(name)
	return text
}

// exact reads a text that must be kept as it is: as a number it must be written as
// plain digits, because any other way could stand for the same number.
func (o object) exact(name string) string {
	text, quoted := o.scalar(name)
	if !quoted && strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		o.fail(name, "is a number that is not written as plain digits")
	}
	return text
}

// id reads an identifier: exact, at most maxID runes, all of them printable.
func (o object) id(name string) string {
	text := o.exact(name)
	if utf8.RuneCountInString(text) > maxID {
		o.fail(name, fmt.Sprintf("is longer than %d characters", maxID))
	}
	// RuneError stands where the sender's bytes were no UTF-8: the id is not known exactly.
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
		o.fail(name, "holds characters that no id has")
	}
	return text
}

// integer reads a whole number; nil if absent.
func (o object) integer(name string) *int64 {
	text, _ := o.scalar(name)
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		o.fail(name, "is not a whole number")
		return nil
	}
	return &n
}

// count reads a whole number that is not negative; nil if absent.
func (o object) count(name string) *int64 {
	n := o.integer(name)
	if n != nil && *n < 0 {
		o.fail(name, "is negative")
		return nil
	}
	return n
}

// boolean reads true or false, as such or as a text; nil if absent.
func (o object) boolean(name string) *bool {
	if !o.has(name) {
		return nil
	}
	value, err := strconv.ParseBool(strings.Trim(string(o.fields[name]), `"`))
	if err != nil {
		o.fail(name, "is neither true nor false")
		return nil
	}
	return &value
}

// yuan reads a decimal amount of yuan as fen; nil if absent. The document says
// "精确到分", to two decimals; that the unit is yuan is inferred, from live answers.
func (o object) yuan(name string) *int64 {
	text, _ := o.scalar(name)
	if text == "" {
		return nil
	}
	fen, err := money.MinorUnits(text, currency)
	if err != nil {
		o.fail(name, "is not an amount in yuan with at most two decimals")
		return nil
	}
	if fen < 0 {
		o.fail(name, "is negative")
		return nil
	}
	return &fen
}

// Bounds of a 13-digit epoch time in milliseconds within the years 2000 to 2100.
const (
	minMillis = 1_000_000_000_000
	maxMillis = 4_102_444_800_000
)

// maxDate is the last instant of the year 9999 in China: an open-ended season may
// say so.
const maxDate = 253_402_271_999_999

// instant reads when something happened, as milliseconds since 1970; zero if absent.
func (o object) instant(name string) time.Time {
	ms := o.count(name)
	if ms == nil {
		return time.Time{}
	}
	if *ms < minMillis || *ms >= maxMillis {
		o.fail(name, "is not a time in milliseconds within the years 2000 to 2100")
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

// day reads milliseconds since 1970 as the midnight in China of the day they fall
// in; zero if absent.
func (o object) day(name string) time.Time {
	ms := o.count(name)
	if ms == nil {
		return time.Time{}
	}
	if *ms > maxDate {
		o.fail(name, "is not a day before the year 10000")
		return time.Time{}
	}
	y, m, d := time.UnixMilli(*ms).In(china).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, china)
}

// localTime reads yyyy-MM-dd HH:mm:ss in China; zero if absent.
func (o object) localTime(name string) time.Time {
	text, _ := o.scalar(name)
	if text == "" {
		return time.Time{}
	}
	at, ok := parseLocal(text)
	if !ok || at.UnixMilli() < minMillis || at.UnixMilli() >= maxMillis {
		o.fail(name, "is not a time yyyy-MM-dd HH:mm:ss within the years 2000 to 2100")
		return time.Time{}
	}
	return at
}

func parseLocal(text string) (time.Time, bool) {
	at, err := time.ParseInLocation(time.DateTime, text, china)
	// The length refuses fractions of a second, which time.Parse accepts unasked.
	return at.UTC(), err == nil && len(text) == len(time.DateTime)
}

// object reads an object within, or a text that holds one, as in a form; an absent
// one has no fields.
func (o object) object(name string) object {
	inner := object{path: o.path + name + ".", fault: o.fault}
	if !o.has(name) {
		return inner
	}
	raw := o.fields[name]
	if raw[0] == '"' {
		raw = json.RawMessage(o.text(name))
	}
	if err := json.Unmarshal(raw, &inner.fields); err != nil {
		o.fail(name, "is not a JSON object")
	}
	return inner
}

// objects reads a list of objects; nil if absent.
func (o object) objects(name string) []object {
	var list []object
	for i, raw := range o.list(name) {
		inner := object{path: fmt.Sprintf("%s%s[%d].", o.path, name, i), fault: o.fault}
		if err := json.Unmarshal(raw, &inner.fields); err != nil {
			o.fail(name, "is not a list of JSON objects")
		}
		list = append(list, inner)
	}
	return list
}

// texts reads a list of texts; nil if absent.
func (o object) texts(name string) []string {
	var list []string
	for _, raw := range o.list(name) {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			o.fail(name, "is not a list of texts")
		}
		list = append(list, text)
	}
	return list
}

func (o object) list(name string) []json.RawMessage {
	if !o.has(name) {
		return nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(o.fields[name], &list); err != nil {
		o.fail(name, "is not a list")
	}
	return list
}

// shorten makes a text of the platform fit to show: at most limit runes, valid
// UTF-8, on one line.
func shorten(text string, limit int) string {
	oneLine := func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}
	runes := []rune(strings.TrimSpace(strings.Map(oneLine, text)))
	return string(runes[:min(len(runes), limit)])
}
