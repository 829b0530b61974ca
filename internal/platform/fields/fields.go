// Package fields reads a platform's JSON field by field: numbers that may be written as
// texts, absent fields that may be null or "", and the first thing that is wrong, told by
// its path and never by its value, for a value may be a secret. It knows no platform.
package fields

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// MaxID is how many runes an id has at most, as the API bounds it.
const MaxID = 128

// China is the zone of Chinese platforms' days and times. China has had no daylight
// saving time since 1991, so a fixed zone is exact.
var China = time.FixedZone("UTC+8", 8*60*60)

// Object is a JSON object that is read field by field. Numbers may be written as
// numbers or as texts; null and "" are absent. The first field that is wrong is
// kept in fault, by its path and never by its value: a value may be a secret.
type Object struct {
	sealing.Hidden

	path   string
	fields map[string]json.RawMessage
	fault  *fault
}

// fault is shared by an object and all the objects within it.
type fault struct{ text string }

// FromForm makes an object of a form, whose values become its texts.
func FromForm(form url.Values) Object {
	o := Object{fields: map[string]json.RawMessage{}, fault: &fault{}}
	for name := range form {
		o.fields[name], _ = json.Marshal(form.Get(name)) // a string always marshals
	}
	return o
}

// Parse reads text that is exactly one JSON object.
func Parse(text []byte) (Object, bool) {
	o := Object{fault: &fault{}}
	err := json.Unmarshal(text, &o.fields)
	return o, err == nil && o.fields != nil
}

// Fault is the first thing that was wrong, such as "order.count is negative"; empty if
// nothing was.
func (o Object) Fault() string { return o.fault.text }

// Quiet is the object again, whose faults are nobody's concern.
func (o Object) Quiet() Object { return Object{path: o.path, fields: o.fields, fault: &fault{}} }

// Names are the names of the fields, in order.
func (o Object) Names() []string { return slices.Sorted(maps.Keys(o.fields)) }

// Raw is the field as it was written; nil if absent.
func (o Object) Raw(name string) json.RawMessage {
	if !o.Has(name) {
		return nil
	}
	return o.fields[name]
}

// Fail keeps the first fault.
func (o Object) Fail(name, rule string) {
	if o.fault.text == "" {
		o.fault.text = o.path + name + " " + rule
	}
}

// Has reports whether the field is there and says something.
func (o Object) Has(name string) bool {
	switch string(bytes.TrimSpace(o.fields[name])) {
	case "", "null", `""`:
		return false
	}
	return true
}

// Require faults the first of the fields that is absent.
func (o Object) Require(names ...string) {
	for _, name := range names {
		if !o.Has(name) {
			o.Fail(name, "is missing")
			return
		}
	}
}

// scalar gives the text of a string or a number; quoted tells which it was.
func (o Object) scalar(name string) (text string, quoted bool) {
	if !o.Has(name) {
		return "", false
	}
	raw := o.fields[name]
	switch c := raw[0]; {
	case c == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			o.Fail(name, "is not a JSON string")
		}
		return text, true
	case c == '-' || '0' <= c && c <= '9':
		return string(raw), false
	}
	o.Fail(name, "is neither a text nor a number")
	return "", false
}

// Text reads a field that has no rules of its own.
func (o Object) Text(name string) string {
	text, _ := o.scalar(name)
	return text
}

// Exact reads a text that must be kept as it is: as a number it must be written as
// plain digits, because any other way could stand for the same number. Half a surrogate
// pair, and bytes that are no UTF-8, are read as U+FFFD whatever they were: such a text is
// not known exactly.
func (o Object) Exact(name string) string {
	text, quoted := o.scalar(name)
	if !quoted && strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		o.Fail(name, "is a number that is not written as plain digits")
	}
	if strings.ContainsRune(text, utf8.RuneError) {
		o.Fail(name, "holds characters that cannot be read")
	}
	return text
}

// ID reads an identifier: exact, at most MaxID runes, none of them a control character. One that
// is longer, or has such, is read as empty.
func (o Object) ID(name string) string {
	text := o.Exact(name)
	switch {
	case utf8.RuneCountInString(text) > MaxID:
		o.Fail(name, fmt.Sprintf("is longer than %d characters", MaxID))
	case strings.ContainsFunc(text, unicode.IsControl):
		o.Fail(name, "holds characters that no id has")
	default:
		return text
	}
	return ""
}

// Integer reads a whole number; nil if absent.
func (o Object) Integer(name string) *int64 {
	text, _ := o.scalar(name)
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		o.Fail(name, "is not a whole number")
		return nil
	}
	return &n
}

// Count reads a whole number that is not negative; nil if absent.
func (o Object) Count(name string) *int64 {
	n := o.Integer(name)
	if n != nil && *n < 0 {
		o.Fail(name, "is negative")
		return nil
	}
	return n
}

// Boolean reads true or false, as such or as a text; nil if absent.
func (o Object) Boolean(name string) *bool {
	if !o.Has(name) {
		return nil
	}
	value, err := strconv.ParseBool(strings.Trim(string(o.fields[name]), `"`))
	if err != nil {
		o.Fail(name, "is neither true nor false")
		return nil
	}
	return &value
}

// Bounds of a 13-digit epoch time in milliseconds within the years 2000 to 2100.
const (
	minMillis = 1_000_000_000_000
	maxMillis = 4_102_444_800_000
)

// maxDate is the last instant of the year 9999 in China: an open-ended season may
// say so.
const maxDate = 253_402_271_999_999

// Millis reads when something happened, as milliseconds since 1970; zero if absent.
func (o Object) Millis(name string) time.Time {
	ms := o.Count(name)
	if ms == nil {
		return time.Time{}
	}
	if *ms < minMillis || *ms >= maxMillis {
		o.Fail(name, "is not a time in milliseconds within the years 2000 to 2100")
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

// Instant reads when something happened, as seconds or milliseconds since 1970, told
// apart by their size; zero if absent.
func (o Object) Instant(name string) time.Time {
	n := o.Count(name)
	switch {
	case n == nil || *n == 0:
		return time.Time{}
	case *n >= minMillis/1000 && *n < maxMillis/1000:
		return time.Unix(*n, 0).UTC()
	case *n >= minMillis && *n < maxMillis:
		return time.UnixMilli(*n).UTC()
	}
	o.Fail(name, "is not a time in seconds or milliseconds within the years 2000 to 2100")
	return time.Time{}
}

// Day reads milliseconds since 1970 as the midnight in China of the day they fall
// in; zero if absent.
func (o Object) Day(name string) time.Time {
	ms := o.Count(name)
	if ms == nil {
		return time.Time{}
	}
	if *ms > maxDate {
		o.Fail(name, "is not a day before the year 10000")
		return time.Time{}
	}
	y, m, d := time.UnixMilli(*ms).In(China).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, China)
}

// LocalTime reads yyyy-MM-dd HH:mm:ss in China; zero if absent.
func (o Object) LocalTime(name string) time.Time {
	text, _ := o.scalar(name)
	if text == "" {
		return time.Time{}
	}
	at, ok := parseLocal(text)
	if !ok || at.UnixMilli() < minMillis || at.UnixMilli() >= maxMillis {
		o.Fail(name, "is not a time yyyy-MM-dd HH:mm:ss within the years 2000 to 2100")
		return time.Time{}
	}
	return at
}

// LocalDay reads yyyy-MM-dd as the midnight in China of that day; zero if absent.
func (o Object) LocalDay(name string) time.Time {
	text, _ := o.scalar(name)
	if text == "" {
		return time.Time{}
	}
	day, err := time.ParseInLocation(time.DateOnly, text, China)
	if err != nil {
		o.Fail(name, "is not a day yyyy-MM-dd")
		return time.Time{}
	}
	return day
}

func parseLocal(text string) (time.Time, bool) {
	at, err := time.ParseInLocation(time.DateTime, text, China)
	// The length refuses fractions of a second, which time.Parse accepts unasked.
	return at.UTC(), err == nil && len(text) == len(time.DateTime)
}

// Object reads an object within, or a text that holds one, as in a form; an absent
// one has no fields. An empty list counts as absent: PHP writes an empty map so.
func (o Object) Object(name string) Object {
	inner := Object{path: o.path + name + ".", fault: o.fault}
	if !o.Has(name) {
		return inner
	}
	raw := o.fields[name]
	if emptyList(raw) {
		return inner
	}
	if raw[0] == '"' {
		raw = json.RawMessage(o.Text(name))
	}
	if err := json.Unmarshal(raw, &inner.fields); err != nil {
		o.Fail(name, "is not a JSON object")
	}
	return inner
}

// emptyList reports whether a JSON value is a list with nothing in it.
func emptyList(raw json.RawMessage) bool {
	inner, isList := bytes.CutPrefix(bytes.TrimSpace(raw), []byte("["))
	return isList && string(bytes.TrimSpace(inner)) == "]"
}

// Objects reads a list of objects; nil if absent.
func (o Object) Objects(name string) []Object {
	if !o.Has(name) {
		return nil
	}
	// All at once: a calendar has hundreds, and each text that is parsed is looked through twice.
	var all []map[string]json.RawMessage
	if json.Unmarshal(o.fields[name], &all) != nil {
		all = o.eachObject(name)
	}
	list := make([]Object, len(all))
	for i := range all {
		list[i] = Object{path: o.path + name + "[" + strconv.Itoa(i) + "].", fields: all[i], fault: o.fault}
	}
	return list
}

// eachObject finds which of a list is no object.
func (o Object) eachObject(name string) []map[string]json.RawMessage {
	var all []map[string]json.RawMessage
	for i, raw := range o.list(name) {
		var inner map[string]json.RawMessage
		if err := json.Unmarshal(raw, &inner); err != nil {
			o.Fail(fmt.Sprintf("%s[%d]", name, i), "is not a JSON object")
		}
		all = append(all, inner)
	}
	return all
}

// Texts reads a list of texts; nil if absent.
func (o Object) Texts(name string) []string {
	var list []string
	for _, raw := range o.list(name) {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			o.Fail(name, "is not a list of texts")
		}
		list = append(list, text)
	}
	return list
}

// Scalars reads a list of texts and numbers as texts; nil if absent.
func (o Object) Scalars(name string) []string {
	var list []string
	for i, raw := range o.list(name) {
		entry := fmt.Sprintf("%s[%d]", name, i)
		inner := Object{path: o.path, fields: map[string]json.RawMessage{entry: raw}, fault: o.fault}
		list = append(list, inner.Text(entry))
	}
	return list
}

// IDs reads a list of identifiers, each as ID does; nil if absent.
func (o Object) IDs(name string) []string {
	var list []string
	for i, raw := range o.list(name) {
		entry := fmt.Sprintf("%s[%d]", name, i)
		inner := Object{path: o.path, fields: map[string]json.RawMessage{entry: raw}, fault: o.fault}
		inner.Require(entry)
		list = append(list, inner.ID(entry))
	}
	return list
}

func (o Object) list(name string) []json.RawMessage {
	if !o.Has(name) {
		return nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(o.fields[name], &list); err != nil {
		o.Fail(name, "is not a list")
	}
	return list
}

// Shorten makes a text of the platform fit to show: at most limit runes, valid UTF-8, on one
// line. A word that does not fit is left out whole, unless it is all there is: half a code is not
// known as one to who scrubs the text later. Control characters that are no white space are
// dropped, for they would part a code in two.
func Shorten(text string, limit int) string {
	oneLine := func(r rune) rune {
		switch {
		case !unicode.IsControl(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return -1
	}
	runes := []rune(strings.TrimSpace(strings.Map(oneLine, text)))
	if len(runes) <= limit {
		return string(runes)
	}
	end := limit
	for end > 0 && ofWord(runes[end-1]) && ofWord(runes[limit]) {
		end--
	}
	if whole := strings.TrimSpace(string(runes[:end])); strings.ContainsFunc(whole, says) {
		return whole
	}
	return string(runes[:limit])
}

func says(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }

// ofWord reports whether a character may stand within a code. Those of scripts that put no spaces
// between words, as Chinese, may not: their sentences would be one word.
func ofWord(r rune) bool {
	return r == '-' || r == '_' || unicode.IsNumber(r) || unicode.IsLetter(r) && !unicode.Is(unicode.Lo, r) || unicode.Is(unicode.Cf, r)
}
