package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

func notice(platformType, subject, id string) v1alpha1.ChannelNotice {
	return v1alpha1.ChannelNotice{PlatformType: platformType, Subject: subject, ID: id, Count: 1}
}

func inquiry(platformType, subject, id, answer string) v1alpha1.ChannelInquiry {
	return v1alpha1.ChannelInquiry{PlatformType: platformType, Subject: subject, NoticeID: id, Answer: answer}
}

func TestInquire(t *testing.T) {
	many := func(n int) (notices []v1alpha1.ChannelNotice) {
		for i := range n {
			notices = append(notices, notice("a", fmt.Sprint(i), "m"))
		}
		return notices
	}
	for name, test := range map[string]struct {
		notices []v1alpha1.ChannelNotice
		known   []v1alpha1.ChannelInquiry
		said    string
		failing error
		asked   int
		want    []v1alpha1.ChannelInquiry
		more    bool
	}{
		"nothing":                {},
		"one":                    {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m1")}, said: "done", asked: 1, want: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m1", "done")}},
		"known":                  {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m1")}, known: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m1", "done")}},
		"a newer message":        {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m2")}, known: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m1", "done")}, said: "x", asked: 1, want: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m2", "x")}},
		"another kind":           {notices: []v1alpha1.ChannelNotice{notice("b", "1", "m1")}, known: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m1", "done")}, said: "x", asked: 1, want: []v1alpha1.ChannelInquiry{inquiry("b", "1", "m1", "x")}},
		"no subject":             {notices: []v1alpha1.ChannelNotice{notice("a", "", "m1")}},
		"cannot be asked":        {notices: []v1alpha1.ChannelNotice{notice("deaf", "1", "m1")}},
		"says nothing":           {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m1")}, asked: 1, want: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m1", nothingTold)}},
		"says too much":          {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m1")}, said: strings.Repeat("单", 600), asked: 1, want: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m1", strings.Repeat("单", maxInquiry))}},
		"not known":              {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m1")}, failing: errNotFound, want: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m1", "not known to the platform")}},
		"down":                   {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m1")}, failing: errDown},
		"throttled":              {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m1")}, failing: errOwnLimit, more: true},
		"refused":                {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m1")}, failing: errCredentials},
		"an error of our own":    {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m1")}, failing: errors.New("dial")},
		"as many as go":          {notices: many(maxNoticesAsked), said: "x", asked: maxNoticesAsked},
		"more than go at a time": {notices: many(maxNoticesAsked + 1), said: "x", asked: maxNoticesAsked, more: true},
	} {
		t.Run(name, func(t *testing.T) {
			script := newScript()
			for _, n := range test.notices {
				script.notices[n.Subject] = test.said
			}
			script.fail("notice", test.failing)
			channel := newChannel()
			channel.Status.Notices, channel.Status.Inquiries = test.notices, test.known
			told, more := inquire(t.Context(), channel, &accounts.Account{Client: script})
			if len(script.inquired) != test.asked || more != test.more {
				t.Errorf("asked %d times, more %v", len(script.inquired), more)
			}
			if diff := cmp.Diff(test.want, told); diff != "" && test.asked < 2 {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func TestInquiriesKeepInStepWithNotices(t *testing.T) {
	known := []v1alpha1.ChannelInquiry{inquiry("a", "1", "m1", "old"), inquiry("a", "2", "m2", "old"), inquiry("b", "1", "m3", "old")}
	for name, test := range map[string]struct {
		notices []v1alpha1.ChannelNotice
		told    []v1alpha1.ChannelInquiry
		want    []v1alpha1.ChannelInquiry
	}{
		"all gone":              {},
		"one gone":              {notices: []v1alpha1.ChannelNotice{notice("b", "1", "m3"), notice("a", "1", "m1")}, want: []v1alpha1.ChannelInquiry{known[0], known[2]}},
		"a newer message":       {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m9")}, want: known[:1]},
		"a newer answer":        {notices: []v1alpha1.ChannelNotice{notice("a", "1", "m9")}, told: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m9", "new")}, want: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m9", "new")}},
		"an answer to one gone": {told: []v1alpha1.ChannelInquiry{inquiry("a", "1", "m9", "new")}},
		"without a subject":     {notices: []v1alpha1.ChannelNotice{notice("a", "", "m1")}},
	} {
		if diff := cmp.Diff(test.want, inStep(test.notices, known, test.told)); diff != "" {
			t.Errorf("%s: want -, got +:\n%s", name, diff)
		}
	}
}

func TestSameNotices(t *testing.T) {
	one, two := notice("a", "1", "m1"), notice("a", "2", "m2")
	counted := one
	counted.Count = 7
	for name, test := range map[string]struct {
		a, b []v1alpha1.ChannelNotice
		want bool
	}{
		"none":            {nil, nil, true},
		"another order":   {[]v1alpha1.ChannelNotice{one, two}, []v1alpha1.ChannelNotice{two, one}, true},
		"another count":   {[]v1alpha1.ChannelNotice{one}, []v1alpha1.ChannelNotice{counted}, true},
		"one more":        {[]v1alpha1.ChannelNotice{one}, []v1alpha1.ChannelNotice{one, two}, false},
		"one less":        {[]v1alpha1.ChannelNotice{one, two}, []v1alpha1.ChannelNotice{two}, false},
		"another message": {[]v1alpha1.ChannelNotice{one}, []v1alpha1.ChannelNotice{notice("a", "1", "m9")}, false},
	} {
		if got := sameNotices(test.a, test.b); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestFailedInquiryLeavesTheChannelReady, and another comes with the next check.
func TestFailedInquiryLeavesTheChannelReady(t *testing.T) {
	channel := newChannel(isConnected)
	channel.Status.Notices = []v1alpha1.ChannelNotice{notice("a", "1", "m1")}
	seen := seenChannel{account: &accounts.Account{}, checked: true}
	if status, next := decideChannel(channel, seen, nil, noon); !ready(status.Conditions) || next.after != checkEvery {
		t.Errorf("%+v, %+v", status.Conditions, next)
	}
	seen.moreNotices = true
	if _, next := decideChannel(channel, seen, nil, noon); next.after != noticesGap {
		t.Errorf("others are left: %+v", next)
	}
}

// notify has the Channel `dy` record a notice, as the webhook server would.
func (s *stack) notify(platformType, subject, id string) {
	s.Helper()
	holder, err := s.registry.ByAccount(v1alpha1.PlatformDouyin, "app")
	must(s.T, err)
	outcome, err := s.book.Record(s.Context(), holder, platform.Push{Path: "script", Body: []byte("{}"), ReceivedAt: time.Now()},
		[]platform.Event{{Notice: &platform.Notice{MessageID: id, PlatformType: platformType, Subject: subject}}})
	if err != nil || outcome != platform.OutcomeRecorded {
		s.Fatalf("notice: %s, %v", outcome, err)
	}
}

// TestNoticesAreInquiredAbout: once for each message, a few at a time, without a word from
// anybody; and what the receiving side writes stays its own.
func TestNoticesAreInquiredAbout(t *testing.T) {
	s := start(t)
	s.scripted()
	answer := func(subject, text string) {
		s.script.mu.Lock()
		defer s.script.mu.Unlock()
		s.script.notices[subject] = text
	}
	has := func(want ...v1alpha1.ChannelInquiry) func(*v1alpha1.Channel) bool {
		return func(c *v1alpha1.Channel) bool { return cmp.Equal(want, c.Status.Inquiries) }
	}
	answer("1", "finished")
	s.script.fail("notice", nil, errDown)
	s.notify("partner", "1", "m1")
	channelIs(s, "dy", v1alpha1.ReasonConnected, has(inquiry("partner", "1", "m1", "finished")))
	answer("1", "cancelled")
	s.notify("partner", "1", "m2") // asked in vain
	s.notify("deaf", "2", "m3")
	channelIs(s, "dy", v1alpha1.ReasonConnected, has(inquiry("partner", "1", "m2", "cancelled")), func(c *v1alpha1.Channel) bool { return len(c.Status.Notices) == 2 })
	var want []v1alpha1.ChannelInquiry
	for i := range 2*maxNoticesAsked + 1 {
		subject := fmt.Sprint("many-", i)
		answer(subject, "so")
		want = append(want, inquiry("partner", subject, "m", "so"))
		s.notify("partner", subject, "m")
	}
	want = append([]v1alpha1.ChannelInquiry{inquiry("partner", "1", "m2", "cancelled")}, want...)
	channel := channelIs(s, "dy", v1alpha1.ReasonConnected, has(want...))
	if len(channel.Status.Notices) != 2*maxNoticesAsked+3 {
		t.Errorf("%d notices", len(channel.Status.Notices))
	}
	for _, entry := range channel.ManagedFields {
		if fields := entry.FieldsV1.String(); entry.Manager == string(fieldOwner) && (strings.Contains(fields, "notices") || !strings.Contains(fields, "inquiries")) {
			t.Errorf("the controller owns %s", fields)
		}
	}
	// Those whose notice is gone go too.
	s.patchStatus("dy", `{"status":{"notices":[]}}`)
	channelIs(s, "dy", v1alpha1.ReasonConnected, has())
	s.script.mu.Lock()
	defer s.script.mu.Unlock()
	if n := len(s.script.inquired); n != 2*maxNoticesAsked+3 {
		t.Errorf("asked %d times: %q", n, s.script.inquired)
	}
	if !slices.Contains(s.script.inquired, "many-0") {
		t.Errorf("asked %q", s.script.inquired)
	}
}

// TestNoticesDoNotWakeAChannelThatCannotBeAsked: its account decides.
func TestNoticesDoNotWakeAChannelThatCannotBeAsked(t *testing.T) {
	if canInquire(nil) || canInquire(&accounts.Account{}) || !canInquire(&accounts.Account{Client: newScript()}) {
		t.Error("not told apart")
	}
}
