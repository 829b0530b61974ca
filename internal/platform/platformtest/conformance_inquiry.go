package platformtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// madeCode begins every code that the suite makes, so that one that is shown is seen.
const madeCode = "MADE-BY-SUITE-"

// codeMaker makes codes, and names them, by a key.
type codeMaker string

// ours is what pushes are answered with; theirs is another key.
const (
	ours   codeMaker = "ours"
	theirs codeMaker = "theirs"
)

func (k codeMaker) hash(texts ...string) string {
	digest := sha256.New()
	for _, text := range append([]string{string(k)}, texts...) {
		_, _ = fmt.Fprintf(digest, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(digest.Sum(nil)[:12])
}

// known adds to what is known how codes are made and named: by the platform's own id, else
// by the code.
func (k codeMaker) known(known platform.Known) platform.Known {
	known.MakeCode = func(orderID, unit string) sealing.Secret {
		return sealing.NewSecret(madeCode + k.hash("make", orderID, unit))
	}
	known.CodeID = func(c platform.Code) string {
		if c.ID != "" {
			return "h1:" + k.hash("id", c.ID)
		}
		return "h1:" + k.hash("id", c.Text.Reveal())
	}
	if known.Now.IsZero() {
		known.Now = receivedAt
	}
	return known
}

// checkChallenges: a challenge is answered as it must be, at once.
func checkChallenges(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		if sample.Echo == nil {
			continue
		}
		got, err := s.decode(sample.push(sample.Body), nil)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", sample.Name, err))
		case got.echo == nil:
			errs = append(errs, fmt.Errorf("%s: no challenge", sample.Name))
		case got.echo.Status != http.StatusOK || !bytes.Equal(got.echo.Body, sample.Echo):
			errs = append(errs, fmt.Errorf("%s: %d %.100q, want 200 %.100q", sample.Name, got.echo.Status, got.echo.Body, sample.Echo))
		case s.Verdict(sample.Path, *got.echo) != Accepted:
			errs = append(errs, fmt.Errorf("%s: the platform does not accept the echo", sample.Name))
		}
	}
	return errors.Join(errs...)
}

// checkInquiries: the platform reads each reply as it must, what asks for orders names
// them, and an error tells no secret.
func checkInquiries(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		if sample.Inquiry != nil {
			if err := s.checkInquiry(sample); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", sample.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (s Subject) checkInquiry(sample Sample) error {
	got, err := s.decode(sample.push(sample.Body), sample.Inquiry)
	if err != nil {
		return holdsNone(err.Error(), append(sample.Secrets, madeCode))
	}
	if got.reply == nil {
		return errors.New("no inquiry")
	}
	want := sample.Inquiry.Verdict
	if want == "" {
		want = Accepted
	}
	if verdict := s.Verdict(sample.Path, *got.reply); verdict != want {
		return fmt.Errorf("the platform reads the reply as %s, want %s", verdict, want)
	}
	for id := range sample.Inquiry.Known.Orders {
		if !slices.Contains(got.asks.Orders, id) {
			return fmt.Errorf("it does not ask for order %s", id)
		}
	}
	if (sample.Inquiry.Known.Product != nil) != (got.asks.Product != nil) {
		return errors.New("it asks for a product, or for none; declared otherwise")
	}
	for _, event := range got.events {
		if o := event.Order; o != nil && o.Replied != nil && o.Replied.Result == platform.ResultIssued && !bytes.Equal(o.Replied.Body, got.reply.Body) {
			return errors.New("codes were given, and another reply is kept")
		}
	}
	return s.checkIgnorance(sample)
}

// checkIgnorance: an inquiry about what nobody knows is answered too, or refused well.
func (s Subject) checkIgnorance(sample Sample) error {
	ignorant := *sample.Inquiry
	ignorant.Known = platform.Known{Now: ignorant.Known.Now}
	got, err := s.decode(sample.push(sample.Body), &ignorant)
	if err == nil {
		return s.checkDecoded(got)
	}
	if !errors.Is(err, platform.ErrMalformed) && !errors.Is(err, platform.ErrCredentials) {
		return fmt.Errorf("nothing is known: %w", err)
	}
	return holdsNone(err.Error(), append(sample.Secrets, madeCode))
}

// checkAgain: what was recorded is replied as it was then, whatever became of the order
// since; and if the codes cannot be made again, nobody is given others.
func checkAgain(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		if sample.Inquiry == nil {
			continue
		}
		first, err := s.decode(sample.push(sample.Body), sample.Inquiry)
		if err != nil {
			return fmt.Errorf("%s: %w", sample.Name, err)
		}
		if err := s.checkRepeated(sample, first); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", sample.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (s Subject) checkRepeated(sample Sample, first said) error {
	later := *sample.Inquiry
	recorded, kept := afterwards(later.Known, first.events)
	later.Known = recorded
	again, err := s.decode(sample.push(sample.Body), &later)
	switch {
	case err != nil:
		return fmt.Errorf("asked again: %w", err)
	case kept && !again.recorded:
		return errors.New("asked again, and it is not said that it was answered before")
	case !kept && again.recorded:
		return errors.New("said to be recorded, and nothing is")
	case kept && (again.reply.Status != first.reply.Status || !bytes.Equal(again.reply.Body, first.reply.Body)):
		return errors.New("asked again, and answered otherwise")
	case !slices.EqualFunc(again.events, first.events[:min(len(again.events), len(first.events))], sameSubject):
		return errors.New("asked again, and it tells of something else")
	}
	return s.checkOtherKey(sample, later, first)
}

// checkOtherKey: with another key, what was given cannot be made again.
func (s Subject) checkOtherKey(sample Sample, later Inquired, first said) error {
	issued := func(e platform.Event) bool {
		return e.Order != nil && e.Order.Replied != nil && e.Order.Replied.Result == platform.ResultIssued
	}
	if !slices.ContainsFunc(first.events, issued) {
		return nil
	}
	got, err := s.inquire(first.message.(platform.Inquiry), &later, theirs)
	if err != nil {
		return holdsNone(err.Error(), append(sample.Secrets, madeCode))
	}
	if !bytes.Equal(got.reply.Body, first.reply.Body) {
		return errors.New("the codes that were given cannot be made again, and others are given")
	}
	return nil
}

// afterwards is what is known an hour after the events were recorded, when all of each
// order's codes are used; kept is whether anything was that carries a reply.
func afterwards(known platform.Known, events []platform.Event) (later platform.Known, kept bool) {
	name := ours.known(known).CodeID
	later = known
	later.Now = ours.known(known).Now.Add(time.Hour)
	later.Orders = cloned(known.Orders)
	for _, event := range events {
		o := event.Order
		if o == nil || o.Replied == nil {
			continue
		}
		kept = true
		order := later.Orders[o.OrderID]
		order.Phase, order.Confirmed = "Used", true
		order.Codes, order.Recorded = cloned(order.Codes), cloned(order.Recorded)
		recorded := platform.Recorded{Result: string(o.Replied.Result)}
		for _, code := range o.Codes {
			recorded.CodeIDs, recorded.Refs = append(recorded.CodeIDs, name(code)), append(recorded.Refs, code.ID)
			order.Codes[name(code)] = platform.KnownCode{Used: 1}
		}
		order.Recorded[o.MessageID] = recorded
		later.Orders[o.OrderID] = order
	}
	return later, kept
}

// cloned is a copy of a map, and never nil.
func cloned[V any](m map[string]V) map[string]V {
	copied := map[string]V{}
	maps.Copy(copied, m)
	return copied
}
