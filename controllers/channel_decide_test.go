package controllers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

func newChannel(alter ...func(*v1alpha1.Channel)) *v1alpha1.Channel {
	channel := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Generation: 1, Annotations: map[string]string{v1alpha1.AnnotationRequestedAt: "1"}},
		Status: v1alpha1.ChannelStatus{ObservedGeneration: -1}}
	for _, alter := range alter {
		alter(channel)
	}
	return channel
}

func isConnected(channel *v1alpha1.Channel) {
	channel.Status, _ = decideChannel(channel, seenChannel{account: &accounts.Account{}, checked: true, listed: ptr.To(int64(3))}, nil, noon.Add(-time.Hour))
	channel.Status.LastHandledRequestedAt = "0"
}

func isSuspended(channel *v1alpha1.Channel) { channel.Spec.Suspend = true }

func TestDecideChannel(t *testing.T) {
	works := &accounts.Account{}
	failed := again{after: stalledCheckEvery, failing: true, urgent: true}
	for name, test := range map[string]struct {
		channel *v1alpha1.Channel
		seen    seenChannel
		reason  string
		state   conditions.State
		next    again
		handled bool
	}{
		"works": {newChannel(), seenChannel{account: works, checked: true}, v1alpha1.ReasonConnected, conditions.Ready, again{after: checkEvery}, true},
		"resync before checks": {newChannel(func(c *v1alpha1.Channel) { c.Spec.Products.ResyncInterval = &metav1.Duration{Duration: time.Minute} }),
			seenChannel{account: works, checked: true}, v1alpha1.ReasonConnected, conditions.Ready, again{after: time.Minute}, true},
		"Secrets cannot be read": {newChannel(), seenChannel{loadErr: errors.New("etcd is away")}, v1alpha1.ReasonProgressingWithRetry, conditions.Reconciling, again{failing: true, urgent: true}, false},
		"not loaded yet":         {newChannel(), seenChannel{}, v1alpha1.ReasonProgressing, conditions.Reconciling, again{after: time.Second, urgent: true}, false},
		"a problem": {newChannel(), seenChannel{account: &accounts.Account{Problem: &accounts.Problem{Reason: v1alpha1.ReasonAccountTaken}}},
			v1alpha1.ReasonAccountTaken, conditions.Stalled, again{after: stalledCheckEvery}, false},
		"Secrets that may not be read": {newChannel(), seenChannel{account: &accounts.Account{Problem: &accounts.Problem{Reason: v1alpha1.ReasonSecretsForbidden}}},
			v1alpha1.ReasonSecretsForbidden, conditions.Stalled, again{after: forbiddenCheckEvery}, false},
		"a problem, suspended": {newChannel(isSuspended), seenChannel{account: &accounts.Account{Suspended: true, Problem: &accounts.Problem{Reason: v1alpha1.ReasonCredentialsMissing}}},
			v1alpha1.ReasonCredentialsMissing, conditions.Stalled, again{after: stalledCheckEvery}, false},
		"suspended":            {newChannel(isConnected, isSuspended), seenChannel{account: &accounts.Account{Suspended: true}}, v1alpha1.ReasonSuspended, conditions.Waiting, again{}, false},
		"account refused":      {newChannel(isConnected), seenChannel{account: works, checked: true, checkErr: errCredentials}, v1alpha1.ReasonCredentialsRefused, conditions.Stalled, again{after: stalledCheckEvery}, false},
		"request refused":      {newChannel(isConnected), seenChannel{account: works, checked: true, checkErr: errRequest}, v1alpha1.ReasonCredentialsRefused, conditions.Stalled, again{after: stalledCheckEvery}, false},
		"down":                 {newChannel(isConnected), seenChannel{account: works, checked: true, checkErr: errDown}, v1alpha1.ReasonProgressingWithRetry, conditions.Reconciling, failed, false},
		"throttled by us":      {newChannel(isConnected), seenChannel{account: works, checked: true, checkErr: errOwnLimit}, v1alpha1.ReasonConnected, conditions.Ready, inAMoment, false},
		"listing gave way":     {newChannel(isConnected), seenChannel{account: works, checked: true, listErr: errOwnLimit}, v1alpha1.ReasonConnected, conditions.Ready, inAMoment, false},
		"throttled by them":    {newChannel(isConnected), seenChannel{account: works, checked: true, checkErr: errTooMany}, v1alpha1.ReasonThrottled, conditions.Reconciling, failed, false},
		"catalogue not listed": {newChannel(isConnected), seenChannel{account: works, checked: true, listErr: errDown}, v1alpha1.ReasonProgressingWithRetry, conditions.Reconciling, failed, false},
		"catalogue refused":    {newChannel(isConnected), seenChannel{account: works, checked: true, listErr: errCredentials}, v1alpha1.ReasonCredentialsRefused, conditions.Stalled, again{after: stalledCheckEvery}, false},
	} {
		t.Run(name, func(t *testing.T) {
			status, next := decideChannel(test.channel, test.seen, nil, noon)
			if got := standing(status.Conditions); got.Reason != test.reason || got.State != test.state || next != test.next {
				t.Errorf("%+v, %+v", got, next)
			}
			if handled := status.LastHandledRequestedAt == "1"; handled != test.handled {
				t.Errorf("handled %v", handled)
			}
		})
	}
}

func TestCatalogueIsDatedByItsNews(t *testing.T) {
	channel := newChannel(isConnected)
	listed := func(n int64) *v1alpha1.ChannelCatalogue {
		status, _ := decideChannel(channel, seenChannel{account: &accounts.Account{}, checked: true, listed: &n}, nil, noon)
		return status.Catalogue
	}
	if diff := cmp.Diff(channel.Status.Catalogue, listed(3)); diff != "" {
		t.Error(diff)
	}
	if got := listed(4); got.Products != 4 || !got.ListedAt.Time.Equal(noon) {
		t.Errorf("%+v", got)
	}
}

func TestPushURLsOutlastAChannelThatIsNotLoaded(t *testing.T) {
	channel := newChannel()
	channel.Status.PushURLs = []string{"/a"}
	if status, _ := decideChannel(channel, seenChannel{}, nil, noon); len(status.PushURLs) != 1 {
		t.Errorf("%v", status.PushURLs)
	}
	if status, _ := decideChannel(channel, seenChannel{}, []string{"/a", "/b"}, noon); len(status.PushURLs) != 2 {
		t.Errorf("%v", status.PushURLs)
	}
}

func TestResyncOf(t *testing.T) {
	minute, hour := &metav1.Duration{Duration: time.Minute}, &metav1.Duration{Duration: time.Hour}
	channel := newChannel()
	channel.Spec.Products.ResyncInterval = hour
	for name, test := range map[string]struct {
		channel *v1alpha1.Channel
		own     *metav1.Duration
		want    time.Duration
	}{
		"own":           {channel, minute, time.Minute},
		"the Channel's": {channel, nil, time.Hour},
		"default":       {newChannel(), nil, defaultResync},
		"no Channel":    {nil, nil, defaultResync},
	} {
		if got := resyncOf(test.channel, test.own); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestChannelsOverTime: whatever is seen, the rules hold, and the same again is no write.
func TestChannelsOverTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		channel, now := newChannel(), noon
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(t, "seconds")) * time.Second)
			channel.Spec.Suspend = rapid.Bool().Draw(t, "suspend")
			channel.Generation++
			seen := drawChannel(t, channel.Spec.Suspend)
			status, next := decideChannel(channel, seen, nil, now)
			putOff := briefly(seen.checkErr) || briefly(seen.listErr)
			if err := conditions.Check(status.Conditions, channel.Generation, status.ObservedGeneration); err != nil && (!putOff || len(status.Conditions) > 0) {
				t.Errorf("conditions: %v", err)
			}
			if next == (again{}) && !channel.Spec.Suspend {
				t.Error("never looked at again")
			}
			if putOff && !cmp.Equal(channel.Status, status) {
				t.Error("a look that was put off is a write")
			}
			channel.Status = status
			seen.checkErr, seen.listErr = reworded(seen.checkErr), reworded(seen.listErr)
			if again, _ := decideChannel(channel, seen, nil, now.Add(time.Minute)); !cmp.Equal(status, again) {
				t.Errorf("the same again is a write: %s", cmp.Diff(status, again))
			}
		}
	})
}

func drawChannel(t *rapid.T, suspended bool) seenChannel {
	switch rapid.SampledFrom([]string{"load error", "no account", "problem", "check", "check"}).Draw(t, "seen") {
	case "load error":
		return seenChannel{loadErr: errors.New("etcd is away")}
	case "no account":
		return seenChannel{}
	case "problem":
		return seenChannel{account: &accounts.Account{Problem: &accounts.Problem{Reason: v1alpha1.ReasonCredentialsMissing, Message: strings.Repeat("票", 500)}}}
	}
	seen := seenChannel{account: &accounts.Account{Suspended: suspended}}
	if suspended {
		return seen
	}
	seen.checked, seen.checkErr = true, rapid.SampledFrom(allErrors).Draw(t, "check")
	if seen.checkErr == nil && rapid.Bool().Draw(t, "lists") {
		if seen.listErr = rapid.SampledFrom(allErrors).Draw(t, "listing"); seen.listErr == nil {
			seen.listed = ptr.To(rapid.Int64Range(0, 3).Draw(t, "listed"))
		}
	}
	return seen
}

// reworded is the same passing failure in other words.
func reworded(err error) error {
	failure, ok := errors.AsType[*platform.Error](err)
	if !ok || failure.Kind != platform.Transient {
		return err
	}
	other := *failure
	other.Text = "other words"
	return &other
}
