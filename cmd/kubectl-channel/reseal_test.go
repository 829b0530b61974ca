package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"golang.org/x/time/rate"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// opensWith checks which identities open what is sealed on an order.
func (l *line) opensWith(order string, identities map[string]bool) {
	l.Helper()
	for _, n := range l.order(order).Spec.Notifications {
		seals := []string{n.Sealed}
		if n.Reply != nil && n.Reply.Sealed != "" {
			seals = append(seals, n.Reply.Sealed)
		}
		for _, sealed := range seals {
			for identity, want := range identities {
				if _, err := sealing.Open(sealed, identity); (err == nil) != want {
					l.Errorf("notification %s: opens %v, want %v", n.ID, err == nil, want)
				}
			}
		}
	}
}

func (l *line) setRecipients(recipients ...string) {
	l.Helper()
	channel := &v1alpha1.Channel{}
	if err := l.Get(l.Context(), client.ObjectKey{Namespace: l.namespace, Name: l.name}, channel); err != nil {
		l.Fatal(err)
	}
	channel.Spec.Sealing.Recipients = recipients
	if err := l.Update(l.Context(), channel); err != nil {
		l.Fatal(err)
	}
}

func TestRotateSealsForTheNewAndKeepsTheOld(t *testing.T) {
	d := sit(t)
	l := d.channel("main", v1alpha1.PlatformFliggy)
	old := strings.TrimSpace(l.identities())
	before, _ := l.push("order-status", sample(t, "fliggy", "push/order-send-code.json"))
	d.kubectl("rotate", "main").want(t, exitDone, "are now sealed for age1", "kubectl channel reseal -n "+d.namespace+" main").without(t, "AGE-SECRET-KEY")
	fresh, rest, _ := strings.Cut(l.identities(), "\n")
	if strings.TrimSpace(rest) != old || fresh == old || !strings.HasPrefix(fresh, "AGE-SECRET-KEY-1") {
		t.Error("the new identity does not stand above the old one")
	}
	if len(l.secret().Data["code-id.key"]) == 0 {
		t.Error("the key of the codes is gone")
	}
	after, _ := l.push("order-status", sample(t, "fliggy", "push/order-verify.json"))
	l.opensWith(before[0], map[string]bool{old: true, fresh: false})
	l.opensWith(after[0], map[string]bool{old: false, fresh: true})
	for _, order := range []string{before[0], after[0]} {
		d.kubectl("reveal", "order", order).want(t, exitDone, "A1B2C3D4E5")
	}

	_, recipient := newIdentity(t)
	d.channel("own", v1alpha1.PlatformFliggy, recipient)
	d.kubectl("rotate", "own").want(t, exitFailed, "spec.sealing.recipients")
	d.kubectl("rotate", "none").want(t, exitFailed, "none")
	d.kubectl("rotate", "main", "--as", "clerk").want(t, exitFailed, "forbidden")
}

func TestResealAfterRotating(t *testing.T) {
	d := sit(t)
	l := d.channel("main", v1alpha1.PlatformDouyin)
	old := strings.TrimSpace(l.identities())
	made, codes := l.push("spi/issue_codes", sample(t, "douyin", "spi/issue_codes-made-certificates.json"))
	l.push("events", sample(t, "douyin", "push/made-certificate-verify.json"))
	l.push("events", sample(t, "douyin", "push/made-unknown-poi.json")) // a notice
	other := d.channel("other", v1alpha1.PlatformFliggy)
	others, _ := other.push("order-status", sample(t, "fliggy", "push/order-send-code.json"))
	untouched := other.order(others[0])
	d.kubectl("rotate", "main").want(t, exitDone)
	fresh, _, _ := strings.Cut(l.identities(), "\n")
	now, _ := l.push("events", sample(t, "douyin", "push/made-order-other-action.json"))

	before := l.order(made[0])
	d.kubectl("reseal", "main", "--dry-run").want(t, exitDone, "4 bodies to be sealed anew, 1 were so already, 0 could not be")
	if l.order(made[0]).ResourceVersion != before.ResourceVersion {
		t.Error("a dry run wrote")
	}
	d.kubectl("reseal", "main", "--rate", "1000").want(t, exitDone, recipientOf(t, fresh)+": its identity is at hand", "4 bodies sealed anew, 1 were so already, 0 could not be")
	for _, order := range []string{made[0], now[0]} {
		l.opensWith(order, map[string]bool{old: false, fresh: true})
	}
	channel := &v1alpha1.Channel{}
	if err := l.Get(t.Context(), client.ObjectKey{Namespace: l.namespace, Name: "main"}, channel); err != nil {
		t.Fatal(err)
	}
	if body, err := sealing.Open(channel.Status.Notices[0].Sealed, fresh); err != nil || string(body) != sample(t, "douyin", "push/made-unknown-poi.json") {
		t.Errorf("the notice: %v", err)
	}
	if _, err := sealing.Open(channel.Status.Notices[0].Sealed, old); err == nil {
		t.Error("the old identity opens the notice")
	}

	// Called again it finds nothing to do, and writes nothing.
	after := l.order(made[0])
	d.kubectl("reseal", "main", "--rate", "1000").want(t, exitDone, "0 bodies sealed anew, 5 were so already, 0 could not be")
	if l.order(made[0]).ResourceVersion != after.ResourceVersion {
		t.Error("the second time wrote")
	}
	// Then the old identity may go.
	secret := l.secret()
	secret.Data["identity.age"] = []byte(fresh)
	if err := l.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	d.kubectl("reveal", "order", made[0]).want(t, exitDone, codes[0].Text.Reveal(), codes[1].Text.Reveal())
	if other.order(others[0]).ResourceVersion != untouched.ResourceVersion {
		t.Error("another Channel's order was written")
	}
}

func TestResealForOtherRecipients(t *testing.T) {
	first, firstRecipient := newIdentity(t)
	second, secondRecipient := newIdentity(t)
	third, thirdRecipient := newIdentity(t)
	d := sit(t)
	l := d.channel("main", v1alpha1.PlatformFliggy, firstRecipient)
	orders, _ := l.push("order-status", sample(t, "fliggy", "push/order-send-code.json"))
	reseal := func(identities ...string) said {
		return d.kubectl("reseal", "main", "--rate", "1000", "--identity", d.file(strings.Join(identities, "\n")))
	}
	l.setRecipients(secondRecipient, thirdRecipient)
	// Nobody is given what was sealed whose identity is not at hand, unless by name.
	reseal(first).want(t, exitFailed, secondRecipient+": its identity is not at hand", thirdRecipient+": its identity is not at hand", "--recipient (2 of them)")
	reseal(first, second).want(t, exitFailed, secondRecipient+": its identity is at hand", thirdRecipient+": its identity is not at hand", "--recipient (1 of them)")
	naming := func(recipients []string, identities ...string) said {
		args := []string{"reseal", "main", "--rate", "1000", "--identity", d.file(strings.Join(identities, "\n"))}
		for _, recipient := range recipients {
			args = append(args, "--recipient", recipient)
		}
		return d.kubectl(args...)
	}
	naming([]string{secondRecipient}, first).want(t, exitFailed, "--recipient (1 of them)")
	naming([]string{thirdRecipient, firstRecipient}, first, second).want(t, exitFailed, "is not sealed for it")
	l.opensWith(orders[0], map[string]bool{first: true, second: false, third: false})
	d.kubectl("reseal", "main").want(t, exitFailed, "--identity FILE")

	naming([]string{thirdRecipient}, first, second).want(t, exitDone, thirdRecipient+": named, its identity is not at hand", "1 bodies sealed anew")
	l.opensWith(orders[0], map[string]bool{first: false, second: true, third: true})
	// For whom else it is sealed shows only with their identities: without, it is done again.
	sealed := l.order(orders[0]).Spec.Notifications[0].Sealed
	naming([]string{thirdRecipient}, second).want(t, exitDone, "1 bodies sealed anew")
	if l.order(orders[0]).Spec.Notifications[0].Sealed == sealed {
		t.Error("not sealed anew")
	}
	reseal(second, third).want(t, exitDone, "0 bodies sealed anew, 1 were so already")

	// One fewer: whoever is no longer among them must not open it.
	l.setRecipients(thirdRecipient)
	reseal(second, third).want(t, exitDone, "1 bodies sealed anew")
	l.opensWith(orders[0], map[string]bool{first: false, second: false, third: true})

	// With what does not open, nothing is lost.
	before := l.order(orders[0])
	l.setRecipients(firstRecipient)
	reseal(first).want(t, exitPartly, orders[0]+", notification m-2: open sealed body", "0 bodies sealed anew, 0 were so already, 1 could not be")
	if l.order(orders[0]).ResourceVersion != before.ResourceVersion {
		t.Error("written")
	}
	naming([]string{firstRecipient}, third).want(t, exitDone, "1 bodies sealed anew")
	l.opensWith(orders[0], map[string]bool{first: true, third: false})
}

// plant puts another Secret in the place of the Channel's, with an identity of the planter's.
func (l *line) plant(labels map[string]string) (identity, recipient string) {
	l.Helper()
	identity, recipient = newIdentity(l.T)
	if err := l.Delete(l.Context(), l.secret()); err != nil {
		l.Fatal(err)
	}
	planted := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: l.name + "-sealing", Labels: labels},
		Data: map[string][]byte{"identity.age": []byte(identity + "\n"), "code-id.key": []byte(base64.StdEncoding.EncodeToString(sealing.NewCodeKey()))}}
	if err := l.Create(l.Context(), planted); err != nil {
		l.Fatal(err)
	}
	return identity, recipient
}

// A Secret that somebody made in the place of the true one, without its label, is no more used here
// than by the manager: nothing is sealed for whoever made it. An identity of one's own still opens.
func TestPlantedSecretIsRefused(t *testing.T) {
	for name, labels := range map[string]map[string]string{"no label": nil, "another Channel's": {v1alpha1.LabelChannel: "other"}} {
		t.Run(name, func(t *testing.T) {
			d := sit(t)
			l := d.channel("main", v1alpha1.PlatformFliggy)
			backup := strings.TrimSpace(l.identities())
			orders, _ := l.push("order-status", sample(t, "fliggy", "push/order-send-code.json"))
			planted, recipient := l.plant(labels)
			before, label := l.secret().ResourceVersion, v1alpha1.LabelChannel+"=main"
			d.kubectl("reseal", "main", "--identity", d.file(backup)).want(t, exitFailed, label)
			d.kubectl("reseal", "main", "--identity", d.file(backup), "--recipient", recipient).want(t, exitFailed, label)
			d.kubectl("reseal", "main").want(t, exitFailed, label)
			d.kubectl("rotate", "main").want(t, exitFailed, label)
			l.opensWith(orders[0], map[string]bool{backup: true, planted: false})
			if l.secret().ResourceVersion != before {
				t.Error("the Secret was written")
			}
			d.kubectl("reveal", "order", orders[0]).want(t, exitFailed, label, "--identity FILE")
			d.kubectl("reveal", "order", orders[0], "--identity", d.file(backup)).want(t, exitDone, "A1B2C3D4E5")
		})
	}
}

// The label proves nothing: who may make Secrets can set it. So beside --identity an identity of the
// Secret vouches for nobody, for it is the same Secret that says for whom to seal.
func TestPlantedIdentityVouchesForNobody(t *testing.T) {
	d := sit(t)
	l := d.channel("main", v1alpha1.PlatformFliggy)
	backup := strings.TrimSpace(l.identities())
	orders, _ := l.push("order-status", sample(t, "fliggy", "push/order-send-code.json"))
	planted, recipient := l.plant(map[string]string{v1alpha1.LabelChannel: "main"})
	d.kubectl("reseal", "main", "--identity", d.file(backup)).want(t, exitFailed, recipient+": its identity is not at hand", "(beside it, those of the Secret do not count)")
	l.opensWith(orders[0], map[string]bool{backup: true, planted: false})
	// It is somebody's word that it is meant, as after a rotation.
	d.kubectl("reseal", "main", "--identity", d.file(backup+"\n"+planted)).want(t, exitDone, "1 bodies sealed anew")
	l.opensWith(orders[0], map[string]bool{backup: false, planted: true})
}

// meddler changes an order between the look at it and the write.
type meddler struct {
	client.Client
	meddle func()
}

func (m *meddler) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	if meddle := m.meddle; meddle != nil {
		m.meddle = nil
		meddle()
	}
	return m.Client.Patch(ctx, object, patch, options...)
}

func recipientOf(t *testing.T, identity string) string {
	t.Helper()
	recipient, err := sealing.Recipient(identity)
	if err != nil {
		t.Fatal(err)
	}
	return recipient
}

// Whom a Channel is sealed for may change meanwhile: what was sealed for those before is not done.
func TestResealSeesThatTheRecipientsChange(t *testing.T) {
	old, oldRecipient := newIdentity(t)
	fresh, recipient := newIdentity(t)
	_, other := newIdentity(t)
	d := sit(t)
	body := func(i int) string {
		return strings.ReplaceAll(sample(t, "fliggy", "push/order-send-code.json"), "9007199254740995", fmt.Sprint(i+1))
	}
	for name, test := range map[string]struct {
		orders int
		own    bool
		change func(l *line)
		sealed int
		partly bool
	}{
		"own":        {1, true, func(l *line) { l.setRecipients(recipient, other) }, 1, true},
		"a rotation": {1, false, func(l *line) { l.kubectl("rotate", l.name).want(t, exitDone) }, 1, true},
		"on the way": {progressEvery + 1, false, func(l *line) { l.setRecipients(other) }, progressEvery, false},
	} {
		t.Run(name, func(t *testing.T) {
			var recipients []string
			if test.own {
				recipients = []string{oldRecipient}
			}
			l := d.channel(strings.ReplaceAll(name, " ", "-"), v1alpha1.PlatformFliggy, recipients...)
			for i := range test.orders {
				l.push("order-status", body(i))
			}
			if test.own {
				l.setRecipients(recipient)
			} else {
				l.kubectl("rotate", l.name).want(t, exitDone)
			}
			streams, _, _, _ := genericiooptions.NewTestIOStreams()
			r := &resealer{cluster: &cluster{&meddler{Client: d.Client, meddle: func() { test.change(l) }}, d.namespace},
				IOStreams: streams, rate: 10_000}
			if test.own { // else those of the Secret are at hand
				r.identity = d.file(old + "\n" + fresh)
			}
			err := r.channel(t.Context(), l.name)
			if err == nil || !strings.Contains(err.Error(), "is sealed for others now") || errors.Is(err, errPartly) != test.partly {
				t.Errorf("said: %v", err)
			}
			if r.sealed != test.sealed {
				t.Errorf("%d sealed anew, want %d", r.sealed, test.sealed)
			}
		})
	}
}

// What changes while it is sealed anew is looked at again: nothing newer is written over, and
// no body lands on another notification.
func TestResealNeverWritesOverWhatIsNewer(t *testing.T) {
	d := sit(t)
	l := d.channel("main", v1alpha1.PlatformFliggy)
	old := strings.TrimSpace(l.identities())
	body := func(id string) string {
		return strings.NewReplacer("9007199254740995", "5", "m-2", id, "A1B2C3D4E5", "CODE-OF-"+id).Replace(sample(t, "fliggy", "push/order-send-code.json"))
	}
	var orders []string
	for i := range 3 {
		orders, _ = l.push("order-status", body(fmt.Sprintf("m-%d", i)))
	}
	d.kubectl("rotate", "main").want(t, exitDone)
	fresh, _, _ := strings.Cut(l.identities(), "\n")
	meddle := &meddler{Client: d.Client, meddle: func() { // the first is compacted away, and another comes
		order := l.order(orders[0])
		order.Spec.Notifications = order.Spec.Notifications[1:]
		if err := l.Update(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		l.push("order-status", body("m-9"))
	}}
	c := &cluster{meddle, d.namespace}
	keys, err := c.readKeys(t.Context(), "main", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := sealing.Recipient(fresh)
	if err != nil {
		t.Fatal(err)
	}
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	r := &resealer{cluster: c, IOStreams: streams, keys: keys, recipients: []string{recipient}, limit: rate.NewLimiter(rate.Inf, 1)}
	if err := r.object(t.Context(), &v1alpha1.OrderVoucher{}, orders[0]); err != nil {
		t.Fatal(err)
	}
	if r.sealed != 2 || r.current != 1 || r.failed != 0 {
		t.Errorf("%d sealed anew, %d were so already, %d failed", r.sealed, r.current, r.failed)
	}
	l.opensWith(orders[0], map[string]bool{old: false, fresh: true})
	for _, n := range l.order(orders[0]).Spec.Notifications {
		if text, err := sealing.Open(n.Sealed, fresh); err != nil || string(text) != body(n.ID) {
			t.Errorf("notification %s has another's body, or none: %v", n.ID, err)
		}
	}
	// One that is gone needs nothing.
	if err := r.object(t.Context(), &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{}}, "none"); err != nil {
		t.Error(err)
	}
}
