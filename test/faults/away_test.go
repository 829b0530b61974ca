package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/test/env"
)

// A manager that was killed and starts while the API server is away receives, from the copy
// of the accounts: what it must refuse it refuses, and what it cannot know it has sent again.
// When the API server is back, everything is recorded once.
func TestStartsAndReceivesWhileTheAPIServerIsAway(t *testing.T) {
	w, weather := newAwayWorld(t)
	s := w.open("signed", 0.02, v1alpha1.DouyinChannel{})
	signed := w.namespace
	w.namespace = env.Namespace(t, w.api)
	m := w.openMarket("away", "770011")
	sender := newSender(w.push)
	before := m.next(t, sender, "7700110")
	w.copyHolds("away", "signed")
	w.copyIsSealed(s.fake.ClientSecret(), m.fake.PrivateKey())

	weather.turn(away)
	w.killedAndUp()
	kept := []*message{before, m.next(t, sender, "7700111"), m.change(t, sender, "7700112")}
	if err := s.fake.PutOrder(platformtest.DouyinOrder{ID: "1065946990001", ProductID: platformtest.DouyinProductID, Count: 1, Price: 100}); err != nil {
		t.Fatal(err)
	}
	told, err := s.fake.Pay("1065946990001")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice is once, also in the journal
		if delivery := s.fake.Push(t.Context(), platformtest.DouyinEventsPath, told); !delivery.Accepted || delivery.Attempts != 1 {
			t.Errorf("a signed push: %+v\n%s", delivery, w.log())
		}
	}
	s.answered("a wrong sign", told, func(h http.Header) { h.Set("X-Douyin-Signature", strings.Repeat("ab", 20)) }, http.StatusServiceUnavailable)
	unknown := strings.ReplaceAll(string(before.body), "770011", "999999")
	if status := post(t, w.push, "/api/webhooks/fliggy/"+platformtest.FliggyOrderPath, []byte(unknown), nil); status != http.StatusServiceUnavailable {
		t.Errorf("an account that nobody can know yet: %d", status)
	}
	w.eventually(func() error { // the platform waits no longer than 5 s for it
		_, delivery := s.fake.PreCreate(t.Context(), platformtest.DouyinProductID, 1)
		if delivery.Accepted {
			t.Fatalf("a question about what nobody knows yet: %+v", delivery)
		}
		if delivery.Status != http.StatusServiceUnavailable {
			return fmt.Errorf("a question about what nobody knows yet: %+v", delivery)
		}
		return nil
	})
	if n, err := w.gauge("channel_operator_journal_records"); err != nil || n != 4 {
		t.Errorf("the journal has %v records: %v", n, err)
	}

	weather.turn(fair)
	w.drained()
	m.check(kept)
	w.namespace = signed
	if ov := s.order("1065946990001", v1alpha1.OrderIssued); len(ov.Spec.Notifications) != 1 {
		t.Errorf("%d notifications of one event", len(ov.Spec.Notifications))
	}
	w.eventually(func() error { // now it is known who has no account
		if status := post(t, w.push, "/api/webhooks/fliggy/"+platformtest.FliggyOrderPath, []byte(unknown), nil); status != http.StatusNotFound {
			return fmt.Errorf("an account that nobody has: %d", status)
		}
		return nil
	})
	if _, delivery := s.fake.PreCreate(t.Context(), platformtest.DouyinProductID, 1); delivery.Status != http.StatusOK {
		t.Errorf("the question again: %+v", delivery)
	}
}

// A Channel that was deleted, and one that was made, while no manager ran.
func TestTheCopyIsForgottenWhereTheAPIServerKnowsBetter(t *testing.T) {
	w, weather := newAwayWorld(t)
	gone, m := w.openMarket("gone", "770021"), w.openMarket("stays", "770022")
	sender := newSender(w.push)
	m.next(t, sender, "7700220")
	gone.next(t, sender, "7700210")
	w.copyHolds("gone", "stays")
	weather.turn(away)
	w.killedAndUp()
	if err := w.api.Delete(t.Context(), &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "gone"}}); err != nil {
		t.Fatal(err)
	}
	push := gone.sale(t, "7700211")
	w.eventually(func() error { return accepted(post(t, w.push, push.url(), push.body, nil)) })
	weather.turn(fair)
	w.eventually(func() error {
		if status := post(t, w.push, push.url(), push.body, nil); status != http.StatusNotFound {
			return fmt.Errorf("a push for a Channel that is gone: %d", status)
		}
		return nil
	})
	m.next(t, sender, "7700221")
	w.eventually(func() error {
		names, err := w.copied()
		if err == nil && (strings.Contains(names, `"gone"`) || !strings.Contains(names, `"stays"`)) {
			err = errors.New("the copy is not as the API server has it")
		}
		return err
	})
}

// Nothing is known at the first start: every push is to be sent again, until the API server
// is there.
func TestTheFirstStartWaitsForTheAPIServer(t *testing.T) {
	w, weather := newAwayWorld(t)
	m := w.openMarket("first", "770031")
	push := m.sale(t, "7700310")
	address, err := env.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	weather.turn(away)
	started := make(chan error, 1)
	var second *env.Manager
	go func() {
		var err error
		second, err = env.StartManager(env.ManagerOptions{Server: w.server, Push: address,
			Flags: []string{"--journal-dir", filepath.Join(t.TempDir(), "journal")}})
		started <- err
	}()
	w.eventually(func() error {
		switch status := post(t, address, push.url(), push.body, nil); status {
		case http.StatusServiceUnavailable:
			return nil
		default:
			return fmt.Errorf("answered %d", status)
		}
	})
	select {
	case err := <-started:
		t.Fatalf("it is ready, and knows nothing: %v", err)
	default:
	}
	weather.turn(fair)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	defer second.Kill()
	if status := post(t, address, push.url(), push.body, nil); status != http.StatusOK {
		t.Errorf("ready, and answers %d\n%s", status, second.Log)
	}
}

// Told to end while it waits for the API server, it ends; and a push that it has begun to
// receive is answered.
func TestEndsWhileTheAPIServerIsAway(t *testing.T) {
	w, weather := newAwayWorld(t)
	m := w.openMarket("ends", "770041")
	w.copyHolds("ends")
	weather.turn(away)
	w.killedAndUp()
	w.mu.Lock()
	w.closing = true
	manager := w.manager
	w.mu.Unlock()
	first := begin(t, w.push, m.sale(t, "7700410"))
	stopped := make(chan error, 1)
	go func() { stopped <- manager.Stop() }()
	slow := w.underWay(t, m, manager, "77004", first)
	if status, err := slow.finish(); !slow.inTime() {
		t.Logf("the body took %s: whether it is answered was not checked", slow.whole.Sub(slow.begun))
	} else if err != nil || status != http.StatusOK {
		t.Errorf("the push under way: %d, %v\n%s", status, err, manager.Log)
	}
	if err := <-stopped; err != nil {
		t.Errorf("it ended with %v\n%s", err, manager.Log)
	}
	weather.turn(fair)
}

// The leader ends when it cannot renew its lease. A push under way at that moment is answered,
// the process in its place receives at once, and leads when the API server is back.
func TestTheLeaderThatEndsIsReplacedAtOnce(t *testing.T) {
	w, weather := newAwayWorld(t, "--leader-elect", "--leader-elect-namespace", env.ManagerNamespace)
	m := w.openMarket("leader", "770051")
	w.copyHolds("leader")
	sender := newSender(w.push)
	kept := []*message{m.next(t, sender, "7700510")}
	w.mu.Lock()
	leader := w.manager
	w.mu.Unlock()
	weather.turn(away)
	underWay := w.underWay(t, m, leader, "77005", nil)
	if status, err := underWay.finish(); !underWay.inTime() {
		t.Logf("the body took %s: whether it is answered was not checked", underWay.whole.Sub(underWay.begun))
	} else if err != nil || status != http.StatusOK {
		t.Errorf("the push under way when the lease was lost: %d, %v\n%s", status, err, leader.Log)
	}
	if underWay.message.acknowledged.Load() {
		kept = append(kept, underWay.message)
	}
	<-leader.Ended()
	w.eventually(func() error {
		if w.died() == 0 {
			return fmt.Errorf("the leader still lives")
		}
		return w.isUp()
	})
	kept = append(kept, m.next(t, sender, "7700511"))
	weather.turn(fair)
	w.drained()
	m.check(kept) // settled: somebody leads
}

// underWay begins pushes until a manager says that it ends, and gives the last: it is young enough
// not to be cut off for being slow. One may be under way already. The ids of its orders begin
// with those of orders.
func (w *world) underWay(t *testing.T, m *market, manager *env.Manager, orders string, last *slowPush) *slowPush {
	t.Helper()
	n := 0
	w.eventually(func() error {
		select {
		case <-manager.Ended():
			return nil
		default:
		}
		err := says(manager, "shutting down server")
		if err != nil && (last == nil || time.Since(last.begun) > 500*time.Millisecond) {
			n++
			if slow := begin(t, w.push, m.sale(t, fmt.Sprintf("%s%d", orders, 20+n))); slow.err == nil {
				last = slow
			}
		}
		return err
	})
	if last == nil {
		t.Fatal("no push could be begun")
	}
	return last
}

// newAwayWorld is a stormy world whose managers keep their key apart, as config/default does.
func newAwayWorld(t *testing.T, flags ...string) (*world, *weather) {
	t.Helper()
	weather := newWeather(nil)
	w := &world{TB: t, gate: &gate{}, patient: true, journal: filepath.Join(t.TempDir(), "journal"), keys: t.TempDir()}
	w.server = w.gate.serve(t, weather.before(apiServer(t, env.Config())))
	w.flags = append([]string{"--journal-dir", w.journal, "--key-dir", w.keys}, flags...)
	w.begin()
	t.Cleanup(func() { weather.turn(fair) }) // or the manager would not end well
	return w, weather
}

// killedAndUp kills the manager and waits for the next one.
func (w *world) killedAndUp() {
	w.Helper()
	deaths := w.died()
	w.kill()
	w.eventually(func() error {
		if w.died() == deaths {
			return fmt.Errorf("the manager still lives")
		}
		return w.isUp()
	})
}

// copied is what the copy of the accounts holds.
func (w *world) copied() (string, error) {
	sealed, err := os.ReadFile(filepath.Join(w.journal, "accounts.age"))
	if err != nil {
		return "", err
	}
	key, err := os.ReadFile(filepath.Join(w.keys, "copy.key"))
	if err != nil {
		return "", err
	}
	content, err := sealing.OpenFile(sealed, string(key))
	return string(content), err
}

// copyHolds waits until the copy holds Channels, and their Secrets.
func (w *world) copyHolds(names ...string) {
	w.Helper()
	w.eventually(func() error {
		content, err := w.copied()
		for _, name := range names {
			if err == nil && (!strings.Contains(content, `"name":"`+name+`"`) || !strings.Contains(content, name+"-sealing")) {
				err = fmt.Errorf("the copy lacks %s", name)
			}
		}
		return err
	})
}

// copyIsSealed: nothing secret can be read in the journal's directory, where the key is not
// either; and no identity is in the copy at all.
func (w *world) copyIsSealed(secrets ...string) {
	w.Helper()
	content, err := w.copied()
	if err != nil {
		w.Fatal(err)
	}
	if strings.Contains(content, "AGE-SECRET-KEY") || strings.Contains(content, "identity.age") {
		w.Error("the copy holds an identity")
	}
	files, err := os.ReadDir(w.journal)
	if err != nil {
		w.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(w.journal, file.Name()))
		if strings.HasSuffix(file.Name(), ".new") && errors.Is(err, fs.ErrNotExist) {
			continue // it has taken the old one's place
		}
		if err != nil {
			w.Fatal(err)
		}
		info, err := file.Info()
		if strings.HasSuffix(file.Name(), ".new") && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			w.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			w.Errorf("%s has the mode %v", file.Name(), info.Mode())
		}
		for _, secret := range append(secrets, "AGE-SECRET-KEY", "clientSecret") {
			if bytes.Contains(raw, []byte(secret)) {
				w.Errorf("a secret can be read in %s", file.Name())
			}
		}
	}
}

// sale is a message about a new order that was paid.
func (m *market) sale(t *testing.T, id string) *message {
	t.Helper()
	if err := m.fake.PutOrder(platformtest.Order{ID: id, ProductID: "7", Quantity: 1, Price: 100}); err != nil {
		t.Fatal(err)
	}
	p := &play{order: id, steps: []step{func() ([]byte, error) { return m.fake.Pay(id) }}}
	message, err := p.happen()
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func (m *message) url() string { return "/api/webhooks/fliggy/" + m.path }

// next has a new order paid, which must be acknowledged at once.
func (m *market) next(t *testing.T, s *sender, id string) *message {
	t.Helper()
	return m.acknowledged(t, s, m.sale(t, id))
}

// change has a product changed, which must be acknowledged at once.
func (m *market) change(t *testing.T, s *sender, id string) *message {
	t.Helper()
	m.offer(id)
	p := &play{product: id, steps: []step{func() ([]byte, error) {
		return m.alter("VACATION_RESOURCE_PRICE_CHANGE", id, 1, time.Now().Truncate(time.Millisecond))
	}}}
	message, err := p.happen()
	if err != nil {
		t.Fatal(err)
	}
	return m.acknowledged(t, s, message)
}

func (m *market) acknowledged(t *testing.T, s *sender, message *message) *message {
	t.Helper()
	if !s.post(t.Context(), message) {
		t.Fatalf("the push %s is not acknowledged: %q\n%s", message.id, s.complaints(), m.log())
	}
	message.acknowledged.Store(true)
	return message
}

// answered sends an event of the platform, with its header changed, and checks the reply.
func (s *shop) answered(what string, body []byte, change func(http.Header), want int) {
	s.Helper()
	_, header := s.fake.Signed(platformtest.DouyinEventsPath, body)
	before := header.Clone()
	if change(header); fmt.Sprint(before) == fmt.Sprint(header) {
		s.Fatalf("%s: nothing is changed in %v", what, before)
	}
	if status := post(s, s.push, "/api/webhooks/douyin/"+platformtest.DouyinEventsPath, body, header); status != want {
		s.Errorf("%s is answered %d, want %d", what, status, want)
	}
}

// post gives the status of the reply; 0 if there is none.
func post(t testing.TB, address, path string, body []byte, header http.Header) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		request.Header = header
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := (&http.Client{Timeout: replyTimeout}).Do(request)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

func accepted(status int) error {
	if status != http.StatusOK {
		return fmt.Errorf("answered %d", status)
	}
	return nil
}

// slowPush is a push whose body has not come to its end.
type slowPush struct {
	message *message
	begun   time.Time
	whole   time.Time // when its last byte was sent
	err     error
	rest    func() (int, error)
}

// inTime: whoever takes longer than that over a body is cut off, rightly.
func (s *slowPush) inTime() bool { return s.whole.Sub(s.begun) < 1500*time.Millisecond }

// begin sends all of a push but its last byte, once the manager has said that it reads: a connection
// that it has not taken from its queue when it ends is under way to nobody.
func begin(t *testing.T, address string, m *message) *slowPush {
	t.Helper()
	slow := &slowPush{message: m, begun: time.Now()}
	body, end := io.Pipe()
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, "http://"+address+m.url(), body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Expect", "100-continue")
	connected := make(chan struct{})
	transport := &http.Transport{ExpectContinueTimeout: replyTimeout, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		defer close(connected)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	type reply struct {
		status int
		err    error
	}
	replied := make(chan reply, 1)
	go func() {
		response, err := transport.RoundTrip(request)
		if err != nil {
			_ = body.CloseWithError(err)
			replied <- reply{0, err}
			return
		}
		_ = response.Body.Close()
		replied <- reply{response.StatusCode, nil}
	}()
	<-connected
	last := len(m.body) - 1
	_, slow.err = end.Write(m.body[:last])
	slow.rest = func() (int, error) {
		_, _ = end.Write(m.body[last:])
		slow.whole = time.Now()
		_ = end.Close()
		r := <-replied
		return r.status, r.err
	}
	return slow
}

// finish sends the last byte, and gives the reply.
func (s *slowPush) finish() (int, error) {
	status, err := s.rest()
	if status == http.StatusOK {
		s.message.acknowledged.Store(true)
	}
	return status, err
}

// says reports whether a manager has logged a text, or why not.
func says(m *env.Manager, text string) error {
	if !strings.Contains(m.Log.String(), text) {
		return fmt.Errorf("it has not logged %q", text)
	}
	return nil
}
