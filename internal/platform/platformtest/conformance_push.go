package platformtest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
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
	{"challenges come back", checkChallenges},
	{"inquiries are answered", checkInquiries},
	{"what was answered is answered again", checkAgain},
	{"signatures", checkSignatures},
	{"other accounts are told apart", checkForeign},
	{"malformed bodies are refused", checkMalformed},
	{"truncated bodies tell nothing else", checkTruncated},
	{"hostile values stay within bounds", checkHostile},
	{"replies follow the table", checkReplies},
	{"copies are the same fact", checkCopies},
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

// said is what a push says, in whichever way it does.
type said struct {
	message platform.Message
	events  []platform.Event
	// echo of a Challenge; asks and reply of an Inquiry.
	echo, reply *platform.Reply
	asks        platform.Lookup
	recorded    bool
}

// same reports whether two pushes say the same.
func (a said) same(b said) bool {
	a.message, b.message = nil, nil
	return reflect.DeepEqual(a, b)
}

// decode opens a push and reads what it says; an Inquiry is told what is inquired. A panic
// is an error. Errors that are not ErrMalformed are told as such by wellRefused.
func (s Subject) decode(push platform.Push, inquired *Inquired) (got said, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if got.message, err = s.Adapter.Open(push); err != nil {
		return said{}, err
	}
	switch m := got.message.(type) {
	case platform.Challenge:
		echo := m.Echo()
		got.echo = &echo
	case platform.Inquiry:
		return s.inquire(m, inquired, ours)
	}
	got.events, err = got.message.Events()
	return got, err
}

// inquire has an Inquiry answered.
func (s Subject) inquire(m platform.Inquiry, inquired *Inquired, maker codeMaker) (said, error) {
	if inquired == nil {
		inquired = &Inquired{}
	}
	holder := s.holder(s.Good)
	if inquired.Settings != nil {
		holder.Settings = inquired.Settings
	}
	got := said{message: m, asks: m.Asks()}
	answer, err := m.Answer(holder, maker.known(inquired.Known))
	got.events, got.reply, got.recorded = answer.Events, &answer.Reply, answer.Recorded
	return got, err
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
	got, err := s.decode(sample.push(sample.Body), sample.Inquiry)
	if err != nil {
		return err
	}
	m := got.message
	if m.Account() != sample.Account || m.Type() != sample.Type || len(got.events) != sample.Events {
		return fmt.Errorf("account %q, type %q, %d events; want %q, %q, %d",
			m.Account(), m.Type(), len(got.events), sample.Account, sample.Type, sample.Events)
	}
	_, challenges := m.(platform.Challenge)
	_, inquires := m.(platform.Inquiry)
	if challenges != (sample.Echo != nil) || inquires != (sample.Inquiry != nil) {
		return fmt.Errorf("a challenge: %t, an inquiry: %t; declared otherwise", challenges, inquires)
	}
	if events, _ := m.Events(); (challenges || inquires) && len(events) > 0 {
		return fmt.Errorf("%d events without an answer", len(events))
	}
	return s.checkDecoded(got)
}

// checkDecoded checks what any decoded push must hold to.
func (s Subject) checkDecoded(got said) error {
	if m := got.message; m.Type() != unknownType && !slices.Contains(s.Types, m.Type()) {
		return fmt.Errorf("type %q is a label that the adapter should not make", m.Type())
	}
	for _, reply := range []*platform.Reply{got.echo, got.reply} {
		if reply != nil && (reply.Status < 200 || reply.Status > 599 || len(reply.Body) > 0 && reply.ContentType == "") {
			return fmt.Errorf("a reply of status %d and content type %q", reply.Status, reply.ContentType)
		}
	}
	if len(got.events) == 0 && got.echo == nil && got.reply == nil {
		return errors.New("no events and no error")
	}
	for _, event := range got.events {
		if err := checkEvent(event); err != nil {
			return err
		}
	}
	return nil
}

// checkSignatures: whoever signs is checked, and who does not is said not to. A challenge
// may come without, and then nobody asks.
func checkSignatures(s Subject) error {
	var errs []error
	if signs := s.Adapter.SignsPushes(); signs != (s.Unsigned != platform.ProofNone) {
		errs = append(errs, fmt.Errorf("it is said to sign pushes: %t, and one without a signature proves %q", signs, s.Unsigned))
	}
	for _, sample := range s.Samples {
		m, err := s.Adapter.Open(sample.push(sample.Body))
		if err != nil {
			return fmt.Errorf("%s: %w", sample.Name, err)
		}
		if c, ok := m.(platform.Challenge); ok && c.Signed() != sample.Signed {
			errs = append(errs, fmt.Errorf("%s: said to be signed: %t", sample.Name, c.Signed()))
			continue
		}
		if sample.Foreign || sample.Echo != nil && !sample.Signed {
			continue
		}
		want := s.Unsigned
		if sample.Signed {
			want = platform.ProofSigned
		}
		if proof, err := m.Verify(s.holder(s.Good)); err != nil || proof != want {
			errs = append(errs, fmt.Errorf("%s: verified as %q, %s; want %q", sample.Name, proof, told(err), want))
		}
		if !sample.Signed {
			continue
		}
		if _, err := m.Verify(s.holder(s.Bad)); !errors.Is(err, platform.ErrForged) {
			errs = append(errs, fmt.Errorf("%s: with another's credentials: %s", sample.Name, told(err)))
		}
		errs = append(errs, s.checkForged(sample), s.checkForgedAround(sample))
	}
	return errors.Join(errs...)
}

// checkForged alters each byte of a signed body: what still opens must not verify
// unless it still says the same, or what was altered is not under the signature. What it says is
// read last, for that takes longest.
func (s Subject) checkForged(sample Sample) error {
	want, _ := s.decode(sample.push(sample.Body), sample.Inquiry)
	for i := range sample.Body {
		body := bytes.Clone(sample.Body)
		body[i] ^= 1
		err := s.forged(sample.push(body))
		if err == nil || sample.SignedFields != nil && sameFields(sample.Body, body, sample.SignedFields) {
			continue
		}
		got, unread := s.decode(sample.push(body), sample.Inquiry)
		if unread != nil || sample.SignedFields == nil && got.same(want) {
			continue
		}
		return fmt.Errorf("%s: byte %d altered, and the signature holds: %w", sample.Name, i, err)
	}
	return nil
}

// forged: the push must not open, or not verify.
func (s Subject) forged(push platform.Push) error {
	if m, err := s.Adapter.Open(push); err == nil {
		return s.disproved(m)
	}
	return nil
}

// disproved: the message must not verify. One whose signature is gone may prove nothing in
// place of being forged, where the platform may leave it out.
func (s Subject) disproved(m platform.Message) error {
	proof, err := m.Verify(s.holder(s.Good))
	if errors.Is(err, platform.ErrForged) || err == nil && proof == platform.ProofMissing && s.Unsigned == proof {
		return nil
	}
	return fmt.Errorf("verified as %q, %s", proof, told(err))
}

// sameFields reports whether the fields of two JSON objects say the same; null and "" say
// what an absent one does.
func sameFields(a, b []byte, names []string) bool {
	var x, y map[string]json.RawMessage
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return !slices.ContainsFunc(names, func(name string) bool { return scalarText(x[name]) != scalarText(y[name]) })
}

// scalarText is a JSON text without its quotes, or any other value as it is written.
func scalarText(raw json.RawMessage) string {
	text := string(raw)
	if json.Unmarshal(raw, &text) != nil || text == "null" {
		return strings.TrimPrefix(string(raw), "null")
	}
	return text
}

// checkForgedAround alters the signature, and what it covers beside the body.
func (s Subject) checkForgedAround(sample Sample) error {
	var errs []error
	try := func(name string, push platform.Push) {
		m, err := s.Adapter.Open(push)
		if errors.Is(err, platform.ErrMalformed) {
			return
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s altered: %w", sample.Name, name, err))
			return
		}
		if c, ok := m.(platform.Challenge); ok && !c.Signed() {
			return // it signs nothing any more, and may
		}
		if err := s.disproved(m); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s altered, and the signature holds: %w", sample.Name, name, err))
		}
	}
	for _, name := range sample.SignedHeaders {
		for _, value := range altered(sample.Header.Get(name)) {
			push := sample.push(sample.Body)
			push.Header = push.Header.Clone()
			setOrDelete(push.Header, http.CanonicalHeaderKey(name), value)
			try(name, push)
		}
	}
	for _, name := range sample.SignedQuery {
		for _, value := range altered(sample.Query.Get(name)) {
			push := sample.push(sample.Body)
			push.Query = maps.Clone(push.Query)
			setOrDelete(push.Query, name, value)
			try(name, push)
		}
	}
	return errors.Join(errs[:min(len(errs), 20)]...)
}

// altered are wrong values in the place of a right one: none, each character another,
// encoded twice, cut, doubled.
func altered(value string) []string {
	all := []string{"", fmt.Sprintf("%x", value), base64.StdEncoding.EncodeToString([]byte(value)), value + value, value + " ", value[:len(value)/2]}
	for i := range value {
		text := []byte(value)
		text[i] ^= 1
		all = append(all, string(text))
	}
	return all
}

func setOrDelete(values map[string][]string, name, value string) {
	if value == "" {
		delete(values, name)
		return
	}
	values[name] = []string{value}
}

// checkForeign: what is rightly signed and about somebody else is told so, and not before
// its signature was checked.
func checkForeign(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		if !sample.Foreign {
			continue
		}
		m, err := s.Adapter.Open(sample.push(sample.Body))
		if err != nil {
			return fmt.Errorf("%s: %w", sample.Name, err)
		}
		if _, err := m.Verify(s.holder(s.Good)); !errors.Is(err, platform.ErrOtherAccount) {
			errs = append(errs, fmt.Errorf("%s: %s", sample.Name, told(err)))
		}
		if _, err := m.Verify(s.holder(s.Bad)); sample.Signed && !errors.Is(err, platform.ErrForged) {
			errs = append(errs, fmt.Errorf("%s, with another's credentials: %s", sample.Name, told(err)))
		}
	}
	return errors.Join(errs...)
}

// checkMalformed tries the Subject's own and those that no platform can mean.
func checkMalformed(s Subject) error {
	pushes := slices.Clone(s.Malformed)
	for _, path := range s.Adapter.Paths() {
		for _, body := range []string{"", " ", "null", "[]", `""`, "0", "true", "{", "{}{}", "\x00", "\xff\xfe", strings.Repeat("[", 200_000), strings.Repeat(`{"a":`, 50_000)} {
			pushes = append(pushes, Malformed{Name: fmt.Sprintf("%.12q", body), Path: path, Query: s.queryAt(path), Body: []byte(body)})
		}
	}
	for _, sample := range s.Samples {
		pushes = append(pushes, Malformed{Name: sample.Name + " on no path", Path: "no-such-path", Query: sample.Query, Header: sample.Header, Body: sample.Body})
		if isObject(sample.Body) { // of forms nobody can tell
			twice := slices.Concat(sample.Body, sample.Body)
			pushes = append(pushes, Malformed{Name: sample.Name + " twice", Path: sample.Path, Query: sample.Query, Header: sample.Header, Body: twice})
		}
	}
	var errs []error
	for _, p := range pushes {
		got, err := s.decode(platform.Push{Path: p.Path, Query: p.Query, Header: p.Header, Body: p.Body, ReceivedAt: receivedAt}, nil)
		if !errors.Is(err, platform.ErrMalformed) {
			errs = append(errs, fmt.Errorf("%s at %s: %d events, %s", p.Name, p.Path, len(got.events), told(err)))
		}
	}
	return errors.Join(errs...)
}

// queryAt is the query of a sample at the path.
func (s Subject) queryAt(path string) url.Values {
	for _, sample := range s.Samples {
		if sample.Path == path {
			return sample.Query
		}
	}
	return nil
}

// wellRefused: an error must be ErrMalformed and quote nothing secret. An inquiry may also
// find that what it gave cannot be made again.
func wellRefused(err error, sample Sample) error {
	if !errors.Is(err, platform.ErrMalformed) && (sample.Inquiry == nil || !errors.Is(err, platform.ErrCredentials)) {
		return fmt.Errorf("not malformed but: %w", err)
	}
	return holdsNone(err.Error(), append([]string{madeCode}, sample.Secrets...))
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
		whole, err := s.decode(sample.push(sample.Body), sample.Inquiry)
		if err != nil {
			return fmt.Errorf("%s: %w", sample.Name, err)
		}
		if !isObject(sample.Body) {
			continue
		}
		for n := range sample.Body {
			got, err := s.decode(sample.push(sample.Body[:n:n]), sample.Inquiry)
			if err != nil {
				err = wellRefused(err, sample)
			} else if !slices.EqualFunc(got.events, whole.events[:min(len(got.events), len(whole.events))], sameSubject) ||
				!reflect.DeepEqual(got.asks, whole.asks) || !reflect.DeepEqual(got.echo, whole.echo) {
				err = errors.New("it tells of something else")
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s, first %d bytes: %w", sample.Name, n, err))
			}
		}
	}
	return errors.Join(errs...)
}

// isObject tells a JSON object, with comments or not, from a form.
func isObject(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) }

// checkReplies: the accepted outcomes share one reply, refusals are 4xx, "try again"
// is 503, and the platform reads each as meant.
func checkReplies(s Subject) error {
	var errs []error
	for _, path := range s.Adapter.Paths() {
		first := s.Adapter.Reply(path, platform.OutcomeRecorded, "")
		if s.answersAt(path) {
			if err := checkReply(first, s.Adapter.Reply(path, platform.OutcomeAnswered, ""), Accepted, false); err != nil {
				errs = append(errs, fmt.Errorf("%s at %s: %w", platform.OutcomeAnswered, path, err))
			}
		}
		for outcome, want := range outcomes {
			reply := s.Adapter.Reply(path, outcome, "")
			if got := s.Verdict(path, reply); got != want {
				errs = append(errs, fmt.Errorf("%s at %s: read as %s, want %s", outcome, path, got, want))
			}
			if err := checkReply(first, reply, want, slices.Contains(s.RefusedInBody, path)); err != nil {
				errs = append(errs, fmt.Errorf("%s at %s: %w", outcome, path, err))
			}
		}
		if got := s.Verdict(path, s.Adapter.Reply(path, "a later outcome", "")); got == Accepted {
			errs = append(errs, fmt.Errorf("an outcome unknown to the adapter is accepted at %s", path))
		}
		errs = append(errs, s.checkWhy(path))
	}
	return errors.Join(errs...)
}

// whys are what may be wrong with a push, and what a reply must not stumble over.
var whys = []string{"malformed push: orderlist[2].order_code is missing", "success", `"quoted" \ {"code":0}`, "two\nlines\r\n\x00", "订单\xff", strings.Repeat("x", 10_000)}

// checkWhy: what is wrong with a malformed push may be said, and changes nothing else.
func (s Subject) checkWhy(path string) error {
	plain := s.Adapter.Reply(path, platform.OutcomeMalformed, "")
	var errs []error
	for _, why := range whys {
		reply := s.Adapter.Reply(path, platform.OutcomeMalformed, why)
		if reply.Status != plain.Status || reply.ContentType != plain.ContentType || s.Verdict(path, reply) != s.Verdict(path, plain) {
			errs = append(errs, fmt.Errorf("malformed at %s, because of %.40q: status %d of type %q, read as %s; without a why %d, %q, %s",
				path, why, reply.Status, reply.ContentType, s.Verdict(path, reply), plain.Status, plain.ContentType, s.Verdict(path, plain)))
		}
	}
	return errors.Join(errs...)
}

// fact is what tells one notification from another.
type fact struct{ orderID, messageID, content string }

func factsOf(events []platform.Event) (facts []fact, byContent bool) {
	for _, event := range events {
		if o := event.Order; o != nil {
			facts = append(facts, fact{o.OrderID, o.MessageID, string(o.Content)})
			byContent = byContent || len(o.Content) > 0
		}
	}
	return facts, byContent
}

// checkCopies: where the id is made of the content, a push that is sent again is the same
// fact, however it is written, and one that says something else is another.
func checkCopies(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		if err := s.checkCopiesOf(sample); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", sample.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (s Subject) checkCopiesOf(sample Sample) error {
	got, err := s.decode(sample.push(sample.Body), sample.Inquiry)
	if err != nil {
		return err
	}
	want, byContent := factsOf(got.events)
	if !byContent {
		return nil
	}
	if sample.Resent == nil || sample.Changed == nil {
		return errors.New("its id is made of its content, and the sample has no Resent or no Changed")
	}
	for _, body := range [][]byte{sample.Resent, respaced(sample.Body), respaced(sample.Resent)} {
		again, err := s.decode(sample.push(body), sample.Inquiry)
		if facts, _ := factsOf(again.events); err != nil || !slices.Equal(facts, want) {
			return fmt.Errorf("sent again it is another fact, %s: %.200s", told(err), body)
		}
	}
	changed, err := s.decode(sample.push(sample.Changed), sample.Inquiry)
	if facts, _ := factsOf(changed.events); err != nil || slices.Equal(facts, want) {
		return fmt.Errorf("changed it is the same fact, %s", told(err))
	}
	return nil
}

// respaced is a JSON body with other white space, and its fields in another order; any
// other body as it is.
func respaced(body []byte) []byte {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return body
	}
	spaced, err := json.MarshalIndent(value, " ", "\t")
	if err != nil {
		return body
	}
	return spaced
}

// answersAt reports whether a push at the path may be answered with nothing to record.
func (s Subject) answersAt(path string) bool {
	return slices.ContainsFunc(s.Samples, func(sample Sample) bool {
		return sample.Path == path && (sample.Echo != nil || sample.Inquiry != nil)
	})
}

// outcomes are all there are of every push, and what the platform should make of them.
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
		first, err := s.decode(sample.push(body), sample.Inquiry)
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
				again, err1 := s.retell(first.message, sample.Inquiry)
				anew, err2 := s.decode(sample.push(body), sample.Inquiry)
				same[i] = err1 == nil && err2 == nil && first.same(again) && first.same(anew)
			})
		}
		wg.Wait()
		if slices.Contains(same, false) {
			errs = append(errs, fmt.Errorf("%s: decoded twice, read differently", sample.Name))
		}
	}
	return errors.Join(errs...)
}

// retell reads an opened push once more.
func (s Subject) retell(m platform.Message, inquired *Inquired) (said, error) {
	switch m := m.(type) {
	case platform.Challenge:
		echo := m.Echo()
		return said{echo: &echo}, nil
	case platform.Inquiry:
		return s.inquire(m, inquired, ours)
	}
	events, err := m.Events()
	return said{events: events}, err
}

// checkShown prints events in every way that a log might.
func checkShown(s Subject) error {
	var errs []error
	for _, sample := range s.Samples {
		got, err := s.decode(sample.push(sample.Body), sample.Inquiry)
		if err != nil {
			return fmt.Errorf("%s: %w", sample.Name, err)
		}
		var shown bytes.Buffer
		for _, event := range got.events {
			show(&shown, event)
			if event.Order != nil {
				show(&shown, *event.Order)
				showFields(&shown, *event.Order)
			}
		}
		if err := holdsNone(shown.String(), append([]string{madeCode}, sample.Secrets...)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", sample.Name, err))
		}
	}
	return errors.Join(errs...)
}

// showFields shows what a struct holds, field by field: it may hide itself as a whole, and what is
// written on an object is not the whole.
func showFields(w *bytes.Buffer, of any) {
	value := reflect.ValueOf(of)
	for i := range value.NumField() {
		if value.Type().Field(i).IsExported() {
			show(w, value.Field(i).Interface())
		}
	}
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
