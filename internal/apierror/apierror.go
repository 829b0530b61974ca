// Package apierror says of an API server's answer that something failed what may be logged or shown:
// the reason, the fields and the kinds of their errors. Its own words may quote the values that it
// refuses, and those may be what was pushed. It knows nothing of what is written, nor of who asked.
package apierror

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// maxWords is how many characters of an API server's own words are shown at most.
const maxWords = 256

// plain is an error of which only what may be shown is left.
type plain string

func (p plain) Error() string { return string(p) }

// Plain is an error as it may be logged: what API servers say in it, however deep, stands there as Of
// says it. An error that no API server has a part in is given back as it is, and so is nil; a nil pointer
// is "<nil>". What is given tells nothing to errors.Is: it is for people.
func Plain(err error) error {
	if isNil(err) {
		return plain("<nil>")
	}
	said := answers(err)
	if len(said) == 0 {
		return err
	}
	text, all := err.Error(), make([]string, 0, len(said))
	whole, silent := true, ""
	for _, status := range said {
		all = append(all, Of(status))
		if status.Message == "" { // it says nothing that could be found, or quoted
			silent += ": " + Of(status)
			continue
		}
		whole = whole && strings.Contains(text, status.Message)
		text = strings.ReplaceAll(text, status.Message, all[len(all)-1])
	}
	if !whole { // it stands there in another form, which we do not know
		return plain(strings.Join(all, "; "))
	}
	if silent != "" {
		text = strings.TrimPrefix(strings.TrimRight(text, ": ")+silent, ": ")
	}
	return plain(text)
}

// isNil reports whether an error is a nil pointer, of which nothing can be asked.
func isNil(err error) bool {
	value := reflect.ValueOf(err)
	return value.Kind() == reflect.Pointer && value.IsNil()
}

// answers are what API servers say in an error.
func answers(err error) []metav1.Status {
	if isNil(err) {
		return nil
	}
	if said, ok := err.(apierrors.APIStatus); ok {
		return []metav1.Status{said.Status()}
	}
	var within []error
	switch e := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		within = []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		within = e.Unwrap()
	case interface{ Errors() []error }: // apimachinery's Aggregate
		within = e.Errors()
	}
	var all []metav1.Status
	for _, one := range within {
		all = append(all, answers(one)...)
	}
	return all
}

// Of says why an API server refused something: the reason, who refused it if it was a webhook or a policy,
// and of each cause the field and the kind of its error. Where it names no field, its words are shown,
// scrubbed and cut, without what they quote but the names of who refused, of objects and of who asked.
func Of(status metav1.Status) string {
	reasons := causes(status)
	if own := words(status.Message); len(reasons) == 0 && own != "" {
		reasons = []string{own}
	}
	said := strings.Join(reasons, "; ")
	if by := refuser.FindString(named.FindString(status.Message)); !strings.Contains(said, by) {
		said = by + ": " + said
	}
	reason := cmp.Or(string(status.Reason), "Refused")
	if said == "" {
		return reason
	}
	return reason + ": " + said
}

// refuser is a webhook or a policy.
var refuser = regexp.MustCompile(`(?:failed calling|admission) webhook "[^"]*"|(?:Validating|Mutating)AdmissionPolicy '[^']*'`)

// named is how an API server begins to say what it refuses in words of its own, that quote names only. What
// follows is said by others, such as webhooks, which give any reason they like, and may quote anything.
var named = func() *regexp.Regexp {
	const (
		name     = `"[^"[:cntrl:]]*"`
		resource = `[A-Za-z0-9./-]+`
		policy   = `(?:Validating|Mutating)AdmissionPolicy '[^'[:cntrl:]]*'(?: with binding '[^'[:cntrl:]]*')?`
		rights   = `User ` + name + ` cannot \S+ (?:path|resource) ` + name + `(?: in API group ` + name + `)?(?: in the namespace ` + name + `)?`
	)
	return regexp.MustCompile(`^(?:` + strings.Join([]string{
		`(?:Internal error occurred: )?(?:failed calling|admission) webhook ` + name,
		policy,
		`(?:` + resource + `(?: ` + name + `)? is )?forbidden(?:: (?:` + policy + `|` + rights + `))?`,
		resource + ` ` + name + ` (?:not found|already exists)`,
		`Operation cannot be fulfilled on ` + resource + ` ` + name,
	}, `|`) + `)[ :]*`)
}()

// values is what the API server's words say in a form in which values stand in them: between quotation
// marks, or as Go prints a struct, which is taken to the end of the text, as nothing tells where it ends.
// Nor does anything tell an apostrophe within single ones from their end: they are taken to the last.
var values = regexp.MustCompile("(?s)\"(?:[^\"\\\\]|\\\\.)*(?:\"|$)|`[^`]*(?:`|$)|\\{.*|(^|\\W)'(?:.*'|.*)")

// words are the API server's own, as they may be shown.
func words(text string) string {
	head := named.FindString(text)
	rest := values.ReplaceAllString(text[len(head):], "${1}…")
	return sealing.Cut(strings.TrimSpace(head+sealing.Excerpt(rest, maxWords)), maxWords)
}

// noField is the field of what validation has to say of no field, such as that there are
// rules which it did not check.
const noField = "<nil>"

// causes of a refusal. Validation quotes the values that it refuses; so of what it says only the
// fields and the kinds of their errors are taken.
func causes(status metav1.Status) []string {
	if status.Details == nil {
		return nil
	}
	var reasons []string
	for _, cause := range status.Details.Causes {
		reason := cause.Field + ": " + string(cause.Type)
		switch {
		case cause.Type == metav1.CauseTypeUnexpectedServerResponse: // its words are a proxy's, or a page
			reason = fmt.Sprintf("%s (HTTP %d)", cause.Type, status.Code)
		case cause.Field == noField:
			reason = "the object: " + string(cause.Type)
			if len(status.Details.Causes) > 1 {
				continue
			}
		case cause.Field == "": // an admission policy, which names itself, or a defect
			reason = words(cause.Message)
		}
		if reason != "" && !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

// Reason is why something failed in at most so many characters: as Of says it where it was an API
// server that refused, else the error's own words, scrubbed.
func Reason(err error, limit int) string {
	said := answers(err)
	if len(said) == 0 {
		return sealing.Excerpt(Plain(err).Error(), limit)
	}
	return sealing.Cut(Of(said[0]), limit)
}
