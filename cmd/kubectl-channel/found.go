package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// found are the codes of an order, each once, and what is missing.
type found struct {
	codes    []*code // in the order in which they were first named
	byID     map[string]*code
	troubles []trouble
}

// code is one voucher code of an order.
type code struct {
	hint string // it, masked
	// text is the code in clear; zero where none that was opened has it.
	text          sealing.Secret
	ref, form     string
	persons, used *int64
	// from are the notifications that name it.
	from []string
}

// inClear begins the id of a code that has none: it is told apart by itself.
const inClear = "in clear: "

// trouble is something that could not be shown.
type trouble struct {
	// Of is what: a notification, a Secret, a code.
	Of  string `json:"of"`
	Why string `json:"why"`
}

func (f *found) trouble(of string, why error) {
	f.troubles = append(f.troubles, trouble{of, why.Error()})
}

// collect reads the codes out of all notifications of an order that name any, and compares
// their ids, where idOf makes them. How much of each is used is the status' word, if it has one,
// else the latest notification's.
func collect(order *v1alpha1.OrderVoucher, read func(*v1alpha1.Notification) ([]platform.Code, error), idOf func(platform.Code) string) *found {
	f := &found{byID: map[string]*code{}}
	for i := range order.Spec.Notifications {
		n := &order.Spec.Notifications[i]
		if len(n.Codes) == 0 && (n.Reply == nil || n.Reply.Sealed == "") {
			continue
		}
		for _, known := range n.Codes {
			f.add(known, n.ID)
		}
		named, err := read(n)
		if err == nil && len(named) < len(n.Codes) {
			err = fmt.Errorf("it holds %d codes, and the notification names %d", len(named), len(n.Codes))
		}
		if err != nil {
			f.trouble("notification "+n.ID, err)
			continue
		}
		for i, one := range named {
			f.clear(one, n, i)
		}
		if others := otherIDs(n.Codes, named, idOf); others > 0 {
			f.trouble("notification "+n.ID, fmt.Errorf("%d of the codes that it holds have other ids than it names: its list or what is sealed was changed, or %s was", others, codeIDKey))
		}
	}
	for _, known := range order.Status.Codes {
		f.add(known, "")
	}
	return f
}

// otherIDs is how many codes are not those that are listed, one by one.
func otherIDs(listed []v1alpha1.Code, named []platform.Code, idOf func(platform.Code) string) int {
	others := 0
	for i, one := range listed {
		if idOf != nil && idOf(named[i]) != one.ID {
			others++
		}
	}
	return others
}

// add notes what is known of a code, masked.
func (f *found) add(known v1alpha1.Code, from string) {
	c := f.of(known.ID)
	c.hint, c.ref, c.form = known.Hint, cmp.Or(known.Ref, c.ref), cmp.Or(known.Form, c.form)
	c.persons, c.used = cmp.Or(known.Persons, c.persons), cmp.Or(known.Used, c.used)
	if from != "" && !slices.Contains(c.from, from) {
		c.from = append(c.from, from)
	}
}

// clear notes the text of a code: the i-th that a notification names. What has no id, for a
// notification holds so many and no more, or another text than before, is a code of its own.
func (f *found) clear(one platform.Code, n *v1alpha1.Notification, i int) {
	if i >= len(n.Codes) || isAnother(f.of(n.Codes[i].ID).text, one.Text) {
		id := inClear + one.ID + one.Text.Reveal()
		f.add(v1alpha1.Code{ID: id, Hint: sealing.Hint(one.Text), Ref: one.ID, Form: one.Form, Persons: one.Persons, Used: one.Used}, n.ID)
		f.of(id).text = one.Text
		return
	}
	if !one.Text.IsZero() {
		f.of(n.Codes[i].ID).text = one.Text
	}
}

func isAnother(known, text sealing.Secret) bool {
	return !known.IsZero() && !text.IsZero() && !known.Equal(text)
}

// addLines adds codes made elsewhere, one a line, for the certificates that were asked for,
// in their order; where none were named, as they stand.
func (f *found) addLines(from, text string, asked []v1alpha1.Code) {
	var lines []sealing.Secret
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, sealing.NewSecret(line))
		}
	}
	if len(asked) > 0 && len(asked) != len(lines) {
		f.trouble(from, fmt.Errorf("it has %d codes, and %d are asked for", len(lines), len(asked)))
		return
	}
	for i, line := range lines {
		id := inClear + line.Reveal()
		if len(asked) > 0 {
			id = asked[i].ID
		}
		c := f.of(id)
		c.text, c.from = line, append(c.from, from)
	}
}

// lookForMissing: a code that has no id of the platform's and whose text is nowhere is one
// that somebody looks for in vain.
func (f *found) lookForMissing() {
	for _, c := range f.codes {
		if c.text.IsZero() && c.ref == "" {
			f.trouble("code "+c.hint, errors.New("no body that is kept, and opens, holds it"))
		}
	}
}

// of is the code with an id: the notifications', or what it is in clear.
func (f *found) of(id string) *code {
	c, known := f.byID[id]
	if !known {
		c = &code{}
		f.byID[id] = c
		f.codes = append(f.codes, c)
	}
	return c
}
