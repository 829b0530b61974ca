package controllers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
	"github.com/laidoulaile/channel-operator/test/env"
)

// hindered has the controllers' next status writes fail so, so many times. What is logged of
// them is as it should be.
func (s *stack) hindered(times int32, fail func(*http.Request, http.RoundTripper) (*http.Response, error)) *atomic.Int32 {
	var failed atomic.Int32
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hinder = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.Method != http.MethodPatch || !strings.HasSuffix(r.URL.Path, "/status") || failed.Add(1) > times {
			return nil, nil
		}
		return fail(r, next)
	}
	return &failed
}

// expect has an error logged whenever: what stands unheard of is seen before it is.
func (s *stack) expect(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected = err
}

func (s *stack) unhindered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hinder, s.errors = nil, nil
}

// answering answers as the API server does when it cannot.
func answering(code int32, reason metav1.StatusReason, message, retryAfter string) func(*http.Request, http.RoundTripper) (*http.Response, error) {
	return func(*http.Request, http.RoundTripper) (*http.Response, error) {
		body, err := json.Marshal(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
			Code: code, Reason: reason, Message: message})
		header := http.Header{"Content-Type": {"application/json"}}
		if retryAfter != "" {
			header.Set("Retry-After", retryAfter)
		}
		return &http.Response{StatusCode: int(code), Header: header, Body: io.NopCloser(strings.NewReader(string(body)))}, err
	}
}

const unheard = "an answer unheard of"

var errCut = errors.New("connection reset by peer")

// However the API server fails at a status, the status comes to stand there when it works again,
// written once, and told once, if it is known to have been written.
func TestStatusOutlastsAFailingAPIServer(t *testing.T) {
	for name, fail := range map[string]func(*http.Request, http.RoundTripper) (*http.Response, error){
		"409":             answering(409, metav1.StatusReasonConflict, "the object has been modified", ""),
		"429":             answering(429, metav1.StatusReasonTooManyRequests, "too many requests", ""),
		"429, wait":       answering(429, metav1.StatusReasonTooManyRequests, "too many requests", "1"),
		"500":             answering(500, metav1.StatusReasonInternalError, "etcdserver: leader changed", ""),
		"503":             answering(503, metav1.StatusReasonServiceUnavailable, "apiserver is shutting down", ""),
		"504":             answering(504, metav1.StatusReasonTimeout, "etcdserver: request timed out", ""),
		"a cut before it": func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, errCut },
		unheard: func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if response, err := next.RoundTrip(r); err == nil {
				_ = response.Body.Close()
			}
			return nil, errCut
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := connected(t)
			s.expect(errCut)
			failed := s.hindered(6, fail)
			s.announce("PRICE_CHANGE", "88")
			s.push(platformtest.FliggyOrderPath, s.sell(s.fake, "1"))
			productIs(s, "ch-88", v1alpha1.ReasonSynced)
			orderIs(s, "ch-1", v1alpha1.ReasonConfirmed, func(ov *v1alpha1.OrderVoucher) bool { return ov.Status.Phase == v1alpha1.OrderIssued })
			// A status that stands there unheard of is found, and not written again: nor is it told.
			if s.eventless = name == unheard; !s.eventless && failed.Load() < 6 {
				t.Errorf("only %d writes failed", failed.Load())
			}
			s.unhindered()
		})
	}
}

// wire carries connections to the API server. Those that are open when it is stalled carry
// nothing from then on, and are not closed.
type wire struct {
	mu      sync.Mutex
	stalled chan struct{} // closed when the wires of now are stalled
}

func (w *wire) stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.stalled)
	w.stalled = make(chan struct{})
}

// carry copies until it is stalled; then it waits until the other end is gone.
func (w *wire) carry(to, from net.Conn, stalled <-chan struct{}) {
	defer func() { _ = to.Close() }()
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		select {
		case <-stalled:
			continue // it is lost
		default:
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return
		}
	}
}

// listen gives the address of the wire to the API server.
func (w *wire) listen(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	target := strings.Trim(strings.TrimPrefix(env.Config().Host, "https:"), "/")
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target) //nolint:noctx // it ends with the other end
			if err != nil {
				_ = near.Close()
				continue
			}
			w.mu.Lock()
			stalled := w.stalled
			w.mu.Unlock()
			go w.carry(far, near, stalled)
			go w.carry(near, far, stalled)
		}
	}()
	return "https://" + l.Addr().String()
}

// A watch that carries nothing any more is noticed, and opened anew: what was pushed meanwhile
// is looked at.
func TestStalledWatchIsNoticed(t *testing.T) {
	s := connected(t)
	w := &wire{stalled: make(chan struct{})}
	s.restart(func() { s.through = w.listen(t) })
	s.announce("PRICE_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
	w.stall()
	s.announce("INFO_CHANGE", "88")
	s.push(platformtest.FliggyOrderPath, s.sell(s.fake, "1"))
	productIs(s, "ch-88", v1alpha1.ReasonSynced, func(ps *v1alpha1.ProductSync) bool { return ps.Status.Observed.Info != nil })
	orderIs(s, "ch-1", v1alpha1.ReasonConfirmed)
	s.unhindered() // what was under way says that it was lost
}

// The Secret goes while the platform is being asked: what was asked is written, the Channel says
// what is missing, pushes are recorded, and all goes on when it is back.
func TestSecretDeletedWhileThePlatformIsAsked(t *testing.T) {
	s := connected(t)
	asked := s.fake.Calls("")
	s.fake.Inject(platformtest.Fault{Kind: platformtest.Slow, Delay: 300 * time.Millisecond, Times: -1})
	s.announce("PRICE_CHANGE", "88")
	s.eventually(func() string {
		if s.fake.Calls("") == asked {
			return "not asked"
		}
		return ""
	})
	must(t, s.api.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "key"}}))
	channelIs(s, "ch", v1alpha1.ReasonCredentialsMissing, stalled)
	s.push(platformtest.FliggyOrderPath, s.sell(s.fake, "1"))
	orderIs(s, "ch-1", v1alpha1.ReasonChannelNotReady, func(ov *v1alpha1.OrderVoucher) bool { return len(ov.Spec.Notifications) == 1 })
	s.fake.ClearFaults()
	s.secret(s.fake.PrivateKey())
	channelIs(s, "ch", v1alpha1.ReasonConnected)
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
	orderIs(s, "ch-1", v1alpha1.ReasonConfirmed)
}

// The Channel goes while pushes arrive for it: each is recorded or told that there is no such
// account, none of those that were recorded is lost, and a Channel made again takes them over.
func TestChannelDeletedWhilePushesArrive(t *testing.T) {
	s := connected(t)
	var pushers sync.WaitGroup
	var recorded sync.Map
	var refused atomic.Int32
	for pusher := range 4 {
		pushers.Go(func() {
			for i := 0; refused.Load() < 4 && t.Context().Err() == nil; i++ {
				id := fmt.Sprintf("%c-%d", 'a'+pusher, i)
				holder, err := s.registry.ByAccount(v1alpha1.PlatformFliggy, account)
				if errors.Is(err, accounts.ErrUnknown) {
					refused.Add(1)
					return
				}
				if err != nil {
					t.Errorf("neither known nor unknown: %v", err)
					return
				}
				push := platform.Push{Path: platformtest.FliggyProductPath, Body: s.fake.ProductPush("VACATION_RESOURCE_PRICE_CHANGE", "9"+id, time.Now()), ReceivedAt: time.Now()}
				message, err := fliggy.Adapter{}.Open(push)
				if err != nil {
					t.Error(err)
					return
				}
				events, err := message.Events()
				if err != nil {
					t.Error(err)
					return
				}
				if outcome, err := s.book.Record(t.Context(), holder, push, events); err != nil || !outcome.Accepted() {
					t.Errorf("%s: %v", outcome, err)
					return
				}
				recorded.Store("ch-9"+id, true)
				for range 10 {
					tick()
				}
			}
		})
	}
	s.eventually(func() string {
		if _, there := recorded.Load("ch-9a-1"); !there {
			return "nothing recorded yet"
		}
		return ""
	})
	must(t, s.api.Delete(t.Context(), get[v1alpha1.Channel](s, "ch")))
	pushers.Wait()
	if refused.Load() != 4 {
		t.Errorf("%d of 4 were refused when the Channel was gone", refused.Load())
	}
	recorded.Range(func(name, _ any) bool {
		productIs(s, name.(string), v1alpha1.ReasonChannelNotReady)
		return true
	})
	s.eventless = true // the rule on events would take the two Channels of one name for one
	s.channel("ch")
	channelIs(s, "ch", v1alpha1.ReasonConnected)
	recorded.Range(func(name, _ any) bool {
		productIs(s, name.(string), v1alpha1.ReasonNotFound) // the platform does not know these
		return true
	})
}

// In a namespace that is being deleted nothing can be made: what is there goes on, a push for
// what is not there is to come again, and nothing is tried in a hurry.
func TestNamespaceThatIsBeingDeleted(t *testing.T) {
	s := connected(t)
	s.announce("PRICE_CHANGE", "88")
	productIs(s, "ch-88", v1alpha1.ReasonSynced)
	must(t, s.api.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}))
	s.announce("INFO_CHANGE", "88")
	settled := productIs(s, "ch-88", v1alpha1.ReasonSynced, func(ps *v1alpha1.ProductSync) bool { return ps.Status.Observed.Info != nil })

	holder, err := s.registry.ByName(types.NamespacedName{Namespace: s.namespace, Name: "ch"})
	must(t, err)
	body := s.sell(s.fake, "1")
	push := platform.Push{Path: platformtest.FliggyOrderPath, Body: body, ReceivedAt: time.Now()}
	message, err := fliggy.Adapter{}.Open(push)
	must(t, err)
	events, err := message.Events()
	must(t, err)
	if outcome, err := s.book.Record(t.Context(), holder, push, events); outcome != platform.OutcomeRetry || !apierrors.IsForbidden(err) {
		t.Errorf("%s, %v; want it to be sent again", outcome, err)
	}
	var requests atomic.Int32
	s.mu.Lock()
	s.hinder = func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		if !strings.Contains(r.URL.Path, "/events") {
			requests.Add(1)
		}
		return nil, nil
	}
	s.mu.Unlock()
	for range 50 {
		tick()
	}
	if n := requests.Load(); n > 5 {
		t.Errorf("%d requests in a second with nothing to do", n)
	}
	if now := get[v1alpha1.ProductSync](s, "ch-88"); now.ResourceVersion != settled.ResourceVersion {
		t.Errorf("written again: %+v", now.Status)
	}
	s.eventless = true // they cannot be made either
	s.unhindered()
}
