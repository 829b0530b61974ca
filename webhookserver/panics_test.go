package webhookserver_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

// A push whose handling panics is answered "try again", counted and told; nothing of what the
// panic says, or of what was passed on the way, is shown. Its room is there again, and the next
// push is served.
func TestPanicIsAnsweredCountedAndTold(t *testing.T) {
	const secret = "PLANTED"
	b := with(tokened(), nil)
	var well atomic.Bool
	b.record = func(context.Context) (platform.Outcome, error) {
		if !well.Load() {
			panic(errors.New(secret))
		}
		return platform.OutcomeRecorded, nil
	}
	server := serve(t, b.options().Crowded(2))
	body := strings.ReplaceAll(sample(t, "order-send-code.json"), "A1B2C3D4E5", secret)
	before := counted(t)
	lines.take()
	const each = 3
	for range each {
		for _, prefix := range []string{byAccount, byChannel} {
			status, reply, err := send(t.Context(), server.url(prefix+orderTail+"?token=right&q="+secret), body)
			if err != nil || status != http.StatusServiceUnavailable || reply != "retry later" {
				t.Fatalf("answered %d %q, %v", status, reply, err)
			}
		}
	}
	well.Store(true)
	for _, prefix := range []string{byAccount, byChannel} {
		if status, reply, err := send(t.Context(), server.url(prefix+orderTail+"?token=right"), body); err != nil || status != http.StatusOK {
			t.Errorf("the next push: %d %q, %v", status, reply, err)
		}
	}
	want := map[string]float64{"Fliggy||unknown|panic": 2 * each, "Fliggy|travel/fliggy-main|ORDER_SEND_CODE_NOTIFY|recorded": 2, "replies Fliggy": 2}
	if diff := cmp.Diff(want, since(before, counted(t))); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	got := slices.DeleteFunc(lines.take(), func(line string) bool { return !strings.Contains(line, "panicked") }) // the server has lines of its own
	if len(got) != 2*each {
		t.Fatalf("%d lines: %s", len(got), got)
	}
	for _, line := range got {
		told := strings.Contains(line, "*errors.errorString") && strings.Contains(line, "TestPanicIsAnsweredCountedAndTold.func") &&
			strings.Contains(line, "webhookserver.(*handler).record:") && strings.Contains(line, orderTail)
		if !told || strings.Contains(line, secret) || strings.Contains(line, "runtime.gopanic") || strings.Contains(line, ".go:") {
			t.Errorf("told as %s", line)
		}
	}
}

// broken does not find accounts.
type broken struct{ webhookserver.Accounts }

func (broken) ByName(types.NamespacedName) (*accounts.Account, error) { panic("PLANTED") }

// Also where it is not known yet whose dialect is spoken. Of a flood of panics some are told, and
// how many more there were.
func TestPanicBeforeThePlatformIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := with(account(), nil).options()
		options.Accounts = broken{options.Accounts}
		h := webhookserver.NewHandler(options)
		lines.take()
		for range 100 {
			w := post(h, byChannel+productTail, sample(t, "product-info.json"))
			answered(t, w, 503, "retry later")
			if w.Header().Get("Connection") != "close" {
				t.Error("the reply waits for the body: its connection does not end")
			}
		}
		if got := lines.take(); len(got) != 20 || strings.Contains(strings.Join(got, ""), "PLANTED") {
			t.Errorf("%d lines: %s", len(got), got)
		}
		time.Sleep(time.Second) // in a bubble: no time at all
		post(h, byChannel+productTail, "")
		if got := lines.take(); len(got) != 1 || !strings.Contains(got[0], `"linesLeftOut"=80`) {
			t.Errorf("a second later: %q", got)
		}
	})
}
