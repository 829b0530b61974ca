package platformtest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// inMemory is a receiver that needs no network, so that time can be synthetic.
type inMemory func(*http.Request) (string, error)

func (f inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := f(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 503, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func TestRetryRules(t *testing.T) {
	hang := func(r *http.Request) (string, error) { <-r.Context().Done(); return "", r.Context().Err() }
	say := func(texts ...string) inMemory {
		return func(*http.Request) (string, error) {
			text := texts[0]
			texts = texts[min(1, len(texts)-1):]
			return text, nil
		}
	}
	cases := map[string]struct {
		receiver inMemory
		attempts int
		took     time.Duration
		fate     Fate
	}{
		"success, whatever the status": {say("success"), 1, 0, Delivered},
		"error is not tried again":     {say("error"), 1, 0, Denied},
		"any other body":               {say("ok"), 4, 6 * time.Second, GivenUp},
		"success in other letters":     {say("SUCCESS"), 4, 6 * time.Second, GivenUp},
		"later success":                {say("busy", "busy", "success"), 3, 4 * time.Second, Delivered},
		"later error":                  {say("busy", "error"), 2, 2 * time.Second, Denied},
		"no reply within 9 s":          {hang, 4, 4*9*time.Second + 6*time.Second, GivenUp},
		"transport error":              {func(*http.Request) (string, error) { return "", errors.New("refused") }, 4, 6 * time.Second, GivenUp},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, err := NewFliggy(FliggyConfig{Account: testAccount, PushBase: "http://receiver", RetryEvery: 2 * time.Second, Transport: c.receiver})
				must(t, err)
				start := time.Now()
				d := fake.Push(t.Context(), FliggyProductPath, []byte(`{"messageId":"m-1","pushType":"P"}`))
				if d.Attempts != c.attempts || d.Fate != c.fate || d.Accepted != (c.fate == Delivered) || time.Since(start) != c.took {
					t.Errorf("%+v after %s", d, time.Since(start))
				}
				if d.MessageID != "m-1" || d.Type != "P" || len(fake.Deliveries()) != 1 {
					t.Errorf("%+v, %d in the log", d, len(fake.Deliveries()))
				}
			})
		})
	}
}

func TestPushEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, err := NewFliggy(FliggyConfig{Account: testAccount, RetryEvery: time.Hour, PushBase: "http://receiver",
			Transport: inMemory(func(*http.Request) (string, error) { return "busy", nil })})
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if d := fake.Push(ctx, FliggyProductPath, nil); d.Attempts != 1 || d.Fate != GivenUp || d.Error == "" {
			t.Errorf("%+v", d)
		}
	})
}

// inbox is a webhook server that accepts all.
type inbox struct {
	mu   sync.Mutex
	seen []*http.Request
	read []string
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	i.mu.Lock()
	i.seen, i.read = append(i.seen, r), append(i.read, string(body))
	i.mu.Unlock()
	_, _ = io.WriteString(w, "success")
}

func newInbox(t *testing.T, a *asker, token string) *inbox {
	i := &inbox{}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	a.fake.AimPushes(server.URL, token)
	return i
}

func TestPushAddress(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	in := newInbox(t, a, "t&k")
	a.fake.Push(t.Context(), FliggyOrderPath, []byte(`{}`))
	a.fake.Push(t.Context(), "/api/channels/travel/fliggy/order-status", []byte(`{}`))
	for i, want := range []string{"/api/webhooks/fliggy/order-status?token=t%26k", "/api/channels/travel/fliggy/order-status?token=t%26k"} {
		if r := in.seen[i]; r.Method != "POST" || r.URL.String() != want || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
	}
	for _, d := range a.fake.Deliveries() {
		if strings.Contains(string(mustMarshal(d)), "t%26k") {
			t.Errorf("the token is in the log: %+v", d)
		}
	}
}

func TestPushErrorsHideTheToken(t *testing.T) {
	a := newAsker(t, FliggyConfig{RetryEvery: time.Nanosecond})
	a.fake.AimPushes("http://127.0.0.1:1", "hidden-token")
	if d := a.fake.Push(t.Context(), FliggyOrderPath, nil); d.Error == "" || strings.Contains(d.Error, "hidden") {
		t.Errorf("%+v", d)
	}
}

func TestPushBodies(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	get := func(body []byte, err error) map[string]json.RawMessage {
		t.Helper()
		must(t, err)
		var fields map[string]json.RawMessage
		must(t, json.Unmarshal(body, &fields))
		return fields
	}
	product := get(a.fake.ProductPush("VACATION_RESOURCE_INFO_CHANGE", "88", time.UnixMilli(1758600000000)), nil)
	keys := []string{"changedTime", "distributorId", "messageId", "productCategory", "productId", "pushType", "timestamp"}
	if diff := cmp.Diff(keys, slices.Sorted(maps.Keys(product))); diff != "" {
		t.Error(diff)
	}
	if string(product["changedTime"]) != "1758600000000" || string(product["distributorId"]) != testAccount || string(product["productId"]) != `"88"` {
		t.Errorf("%s", product)
	}
	_, err := a.fake.IssueCodes(testOrder, OrderCode{Code: "A1", Persons: 2, Users: []string{"X1"}})
	must(t, err)
	orderKeys := []string{"data", "distributorId", "messageId", "orderId", "outOrderId", "pushType", "timestamp"}
	seen := map[string]bool{}
	check := func(body []byte, err error, pushType string, parts ...string) {
		t.Helper()
		fields := get(body, err)
		if diff := cmp.Diff(orderKeys, slices.Sorted(maps.Keys(fields))); diff != "" {
			t.Error(diff)
		}
		if string(fields["pushType"]) != `"`+pushType+`"` || string(fields["orderId"]) != `"`+testOrder+`"` || seen[string(fields["messageId"])] {
			t.Errorf("%s", body)
		}
		seen[string(fields["messageId"])] = true
		for _, part := range parts {
			if !strings.Contains(string(fields["data"]), part) {
				t.Errorf("%s lacks %s", fields["data"], part)
			}
		}
	}
	body, err := a.fake.SendCodePush(testOrder)
	check(body, err, "ORDER_SEND_CODE_NOTIFY", `"success":true`, `"code":"A1"`, `"num":2`, `"codeUserInfos":["X1"]`)
	body, err = a.fake.VerifyPush(testOrder, "A1")
	check(body, err, "ORDER_VERIFY_NOTIFY", `"codeInfo":{`, `"verifiedNum":0`, `"verifyTime":"20`)
	body, err = a.fake.RefundPush(testOrder)
	check(body, err, "ORDER_REFUND_NOTIFY", `{"success":true}`)
	body, err = a.fake.Refund(testOrder, 12345, 1, false)
	check(body, err, "ORDER_REFUND_NOTIFY", `"refundFee":12345`, `"refundType":3`, `"refundQuantity":1`, `"success":true`)
	body, err = a.fake.Refund(testOrder, 12345, 1, true)
	check(body, err, "ORDER_REFUND_NOTIFY", `"refundType":1`)
	body, err = a.fake.RefundFails(testOrder, "too late")
	check(body, err, "ORDER_REFUND_NOTIFY", `"success":false`, `"failReason":"too late"`)
	body, err = a.fake.StatusPush(testOrder)
	check(body, err, "ORDER_STATUS_CHANGE", `"orderStatus":1003`)
	body, err = a.fake.IssueFails(testOrder, "no room")
	check(body, err, "ORDER_SEND_CODE_NOTIFY", `"success":false`, `"failReason":"no room"`)
	body, err = a.fake.Close(testOrder)
	check(body, err, "ORDER_STATUS_CHANGE", `"orderStatus":1010`)
}

func TestFormPushes(t *testing.T) {
	a := newAsker(t, FliggyConfig{Quirks: FliggyQuirks{FormPushes: true, QuotedAccount: true}})
	in := newInbox(t, a, "")
	body, err := a.fake.StatusPush(testOrder)
	must(t, err)
	a.fake.Push(t.Context(), FliggyOrderPath, body)
	form, err := url.ParseQuery(in.read[0])
	must(t, err)
	if form.Get("orderId") != testOrder || form.Get("distributorId") != testAccount || form.Get("data") != `{"orderStatus":1001}` {
		t.Errorf("%s", in.read[0])
	}
	a.fake.Push(t.Context(), FliggyOrderPath, []byte("raw"))
	if in.read[1] != "raw" || in.seen[1].Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s", in.read[1])
	}
}
