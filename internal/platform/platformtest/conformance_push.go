package platformtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// unknownType is the label of a push whose type the adapter does not know.
const unknownType = "unknown"

var pushChecks = []check{
	{"paths are stable and each has a sample", checkPaths},
	{"the default endpoint is https", checkEndpoint},
	{"samples decode", checkSamples},
	{"signatures", checkSignatures},
	{"malformed bodies are refused", checkMalformed},
	{"truncated bodies tell nothing else", checkTruncated},
	{"hostile values stay within bounds", checkHostile},
	{"replies follow the table", checkReplies},
	{"decoding is deterministic", checkDeterministic},
	{"nothing secret is shown", checkShown},
}

func checkPaths(s Subject) error {
	paths := s.Adapter.Paths()
	if len(paths) == 0 || !slices.Equal(paths, s.Adapter.Paths()) {
		return fmt.Errorf("paths %q, then %q", paths, s.Adapter.Paths())
	}
	var errs []error
	for i, path := range paths {
		if path == "" || strings.Trim(path, "/") != path || slices.Contains(paths[:i], path) {
			errs = append(errs, fmt.Errorf("path %q is empty, has slashes at its ends or comes twice", path))
		}
		if !slices.ContainsFunc(s.Samples, func(sample Sample) bool { return sample.Path == path }) {
			errs = append(errs, fmt.Errorf("path %q has no sample", path))
		}
	}
	paths[0] = "overwritten"
	if slices.Contains(s.Adapter.Paths(), "overwritten") {
		errs = append(errs, errors.New("the paths are shared, not given"))
	}
	return errors.Join(errs...)
}

func checkEndpoint(s Subject) error {
	endpoint := s.Adapter.DefaultEndpoint()
	if !strings.HasPrefix(endpoint, "https://") || strings.HasSuffix(endpoint, "/") {
		return fmt.Errorf("default endpoint %q", endpoint)
	}
	return nil
}

// decode opens a push and reads its events; a panic is an error. Errors that are not
// ErrMalformed are told as such by wellRefused.
func (s Subject) decode(push platform.Push) (m platform.Message, events []platform.Event, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if m, err = s.Adapter.Open(push); err != nil {
		return nil, nil, err
	}
	events, err = m.Events()
	return m, events, err
}

func checkSamples(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		if err := s.checkSample(sample); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", sample.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (s Subject) checkSample(sample Sample) error {
	m, events, err := s.decode(sample.push(sample.Body))
	if err != nil {
		return err
	}
	if m.Account() != sample.Account || m.Type() != sample.Type || len(events) != sample.Events {
		return fmt.Errorf("account %q, type %q, %d events; want %q, %q, %d",
			m.Account(), m.Type(), len(events), sample.Account, sample.Type, sample.Events)
	}
	return s.checkDecoded(m, events)
}

// checkDecoded checks what any decoded push must hold to.
func (s Subject) checkDecoded(m platform.Message, events []platform.Event) error {
	if m.Type() != unknownType && !slices.Contains(s.Types, m.Type()) {
		return fmt.Errorf("type %q is a label that the adapter should not make", m.Type())
	}
	if len(events) == 0 {
		return errors.New("no events and no error")
	}
	for _, event := range events {
		if err := checkEvent(event); err != nil {
			return err
		}
	}
	return nil
}

// checkSignatures: whoever signs is checked, and who does not is said not to.
func checkSignatures(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		m, _, err := s.decode(sample.push(sample.Body))
		if err != nil {
			return fmt.Errorf("%s: %w", sample.Name, err)
		}
		if signed, err := m.Verify(s.holder(s.Good)); err != nil || signed != sample.Signed {
			errs = append(errs, fmt.Errorf("%s: verified as signed %t, %s; want %t", sample.Name, signed, told(err), sample.Signed))
		}
		if !sample.Signed {
			continue
		}
		if _, err := m.Verify(s.holder(s.Bad)); !errors.Is(err, platform.ErrForged) {
			errs = append(errs, fmt.Errorf("%s: with another's credentials: %s", sample.Name, told(err)))
		}
		errs = append(errs, s.checkForged(sample))
	}
	return errors.Join(errs...)
}

// checkForged alters each byte of a signed body: what still opens must not verify
// unless it still says the same.
func (s Subject) checkForged(sample Sample) error {
	_, want, _ := s.decode(sample.push(sample.Body))
	for i := range sample.Body {
		body := bytes.Clone(sample.Body)
		body[i] ^= 1
		m, events, err := s.decode(sample.push(body))
		if err != nil || reflect.DeepEqual(events, want) {
			continue
		}
		if _, err := m.Verify(s.holder(s.Good)); !errors.Is(err, platform.ErrForged) {
			return fmt.Errorf("%s: byte %d altered, and the signature holds: %s", sample.Name, i, told(err))
		}
	}
	return nil
}

// checkMalformed tries the Subject's own and those that no platform can mean.
func checkMalformed(s Subject) error {
	pushes := slices.Clone(s.Malformed)
	for _, path := range s.Adapter.Paths() {
		for _, body := range []string{"", " ", "null", "[]", `""`, "0", "true", "{", "{}{}", "\x00", "\xff\xfe", strings.Repeat("[", 200_000), strings.Repeat(`{"a":`, 50_000)} {
			pushes = append(pushes, Malformed{Name: fmt.Sprintf("%.12q", body), Path: path, Body: []byte(body)})
		}
	}
	for _, sample := range s.Samples {
		pushes = append(pushes, Malformed{Name: sample.Name + " on no path", Path: "no-such-path", Header: sample.Header, Body: sample.Body})
		if json.Valid(sample.Body) { // of forms nobody can tell
			twice := slices.Concat(sample.Body, sample.Body)
			pushes = append(pushes, Malformed{Name: sample.Name + " twice", Path: sample.Path, Header: sample.Header, Body: twice})
		}
	}
	var errs []error
	for _, p := range pushes {
		_, events, err := s.decode(platform.Push{Path: p.Path, Header: p.Header, Body: p.Body})
		if !errors.Is(err, platform.ErrMalformed) {
			errs = append(errs, fmt.Errorf("%s at %s: %d events, %s", p.Name, p.Path, len(events), told(err)))
		}
	}
	return errors.Join(errs...)
}

// wellRefused: an error must be ErrMalformed and quote nothing secret.
func wellRefused(err error, secrets []string) error {
	if !errors.Is(err, platform.ErrMalformed) {
		return fmt.Errorf("not malformed but: %w", err)
	}
	return holdsNone(err.Error(), secrets)
}

// holdsNone reports a secret in the text, without repeating it.
func holdsNone(text string, secrets []string) error {
	for i, secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			return fmt.Errorf("secret %d of %d is shown", i+1, len(secrets))
		}
	}
	return nil
}

// checkTruncated cuts every JSON sample at every byte: what is left is refused, or tells
// of the same thing. A form does not say where it ends; there, the server's check of
// Content-Length has to do.
func checkTruncated(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		_, whole, err := s.decode(sample.push(sample.Body))
		if err != nil {
			return fmt.Errorf("%s: %w", sample.Name, err)
		}
		if !json.Valid(sample.Body) {
			continue
		}
		for n := range sample.Body {
			_, events, err := s.decode(sample.push(sample.Body[:n:n]))
			if err != nil {
				err = wellRefused(err, sample.Secrets)
			} else if !slices.EqualFunc(events, whole[:min(len(events), len(whole))], sameSubject) {
				err = errors.New("it tells of something else")
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s, first %d bytes: %w", sample.Name, n, err))
			}
		}
	}
	return errors.Join(errs...)
}

// checkReplies: the accepted outcomes share one reply, refusals are 4xx, "try again"
// is 503, and the platform reads each as meant.
func checkReplies(s Subject) error {
	var errs []error
	for _, path := range s.Adapter.Paths() {
		first := s.Adapter.Reply(path, platform.OutcomeRecorded)
		for outcome, want := range outcomes {
			reply := s.Adapter.Reply(path, outcome)
			if got := s.Verdict(path, reply); got != want {
				errs = append(errs, fmt.Errorf("%s at %s: read as %s, want %s", outcome, path, got, want))
			}
			if err := checkReply(first, reply, want, slices.Contains(s.RefusedInBody, path)); err != nil {
				errs = append(errs, fmt.Errorf("%s at %s: %w", outcome, path, err))
			}
		}
		if got := s.Verdict(path, s.Adapter.Reply(path, "a later outcome")); got == Accepted {
			errs = append(errs, fmt.Errorf("an outcome unknown to the adapter is accepted at %s", path))
		}
	}
	return errors.Join(errs...)
}

// outcomes are all there are, and what the platform should make of them.
var outcomes = map[platform.Outcome]Verdict{
	platform.OutcomeRecorded: Accepted, platform.OutcomeDuplicate: Accepted, platform.OutcomeOlder: Accepted,
	platform.OutcomeMalformed: Refused, platform.OutcomeTooLarge: Refused,
	platform.OutcomeUnknownAccount: Refused, platform.OutcomeForged: Refused,
	platform.OutcomeRetry: Retry,
}

func checkReply(accepted, reply platform.Reply, want Verdict, refusedInBody bool) error {
	status := reply.Status
	inBody := refusedInBody && status == http.StatusOK
	switch {
	case want == Accepted && (status != http.StatusOK || !reflect.DeepEqual(accepted, reply)):
		return fmt.Errorf("status %d, or another reply than that to recorded", status)
	case want == Refused && (status < 400 || status > 499) && !inBody:
		return fmt.Errorf("status %d is no refusal", status)
	case want == Retry && status != http.StatusServiceUnavailable && !inBody:
		return fmt.Errorf("status %d, want 503", status)
	case len(reply.Body) > 0 && reply.ContentType == "":
		return errors.New("a body without a content type")
	}
	return nil
}

func checkDeterministic(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		body := bytes.Clone(sample.Body)
		m, first, err := s.decode(sample.push(body))
		if err != nil {
			return fmt.Errorf("%s: %w", sample.Name, err)
		}
		if !bytes.Equal(body, sample.Body) {
			errs = append(errs, fmt.Errorf("%s: decoding alters the body", sample.Name))
		}
		var wg sync.WaitGroup
		same := make([]bool, 4)
		for i := range same {
			wg.Go(func() {
				again, err1 := m.Events()
				_, anew, err2 := s.decode(sample.push(body))
				same[i] = err1 == nil && err2 == nil && reflect.DeepEqual(first, again) && reflect.DeepEqual(first, anew)
			})
		}
		wg.Wait()
		if slices.Contains(same, false) {
			errs = append(errs, fmt.Errorf("%s: decoded twice, read differently", sample.Name))
		}
	}
	return errors.Join(errs...)
}

// checkShown prints events in every way that a log might.
func checkShown(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		_, events, err := s.decode(sample.push(sample.Body))
		if err != nil {
			return fmt.Errorf("%s: %w", sample.Name, err)
		}
		var shown bytes.Buffer
		for _, event := range events {
			show(&shown, event)
			if event.Order != nil {
				show(&shown, *event.Order)
				show(&shown, event.Order.Codes)
			}
		}
		if err := holdsNone(shown.String(), sample.Secrets); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", sample.Name, err))
		}
	}
	return errors.Join(errs...)
}

func show(w *bytes.Buffer, v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(w, verb+"\n", v)
	}
	raw, err := json.Marshal(v)
	fmt.Fprintf(w, "%s %v\n", raw, err)
	slog.New(slog.NewTextHandler(w, nil)).Info("event", "event", v)
	slog.New(slog.NewJSONHandler(w, nil)).Info("event", "event", v)
}
