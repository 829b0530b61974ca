package platformtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFaultsOfQuestions(t *testing.T) {
	cases := map[string]struct {
		fault       Fault
		status      int
		contentType string
		retryAfter  string
		body        string
	}{
		"503":          {Fault{Kind: Status5xx, RetryAfter: 2 * time.Second}, 503, "text/plain", "2", "Unavailable"},
		"502":          {Fault{Kind: Status5xx, Status: 502}, 502, "text/plain", "", "Bad Gateway"},
		"429":          {Fault{Kind: Throttle429, RetryAfter: time.Second}, 429, "text/plain", "1", "slow down"},
		"code":         {Fault{Kind: Code, Code: "9000"}, 200, "application/json;charset=UTF-8", "", `"code":"9000"`},
		"half a value": {Fault{Kind: BadJSON}, 200, "application/json;charset=UTF-8", "", `"data":{`},
		"page":         {Fault{Kind: HTMLPage}, 200, "text/html", "", "<html>"},
		"label":        {Fault{Kind: WrongContentType}, 200, "text/html", "", `"productPriceStock"`},
		"slow":         {Fault{Kind: Slow, Delay: time.Millisecond}, 200, "application/json;charset=UTF-8", "", `"productPriceStock"`},
	}
	a := newAsker(t, FliggyConfig{})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a.fake.Inject(c.fault)
			response, body := a.post("queryProductPriceStock", a.body("88", map[string]any{"productId": "88"}))
			if response.StatusCode != c.status || response.Header.Get("Content-Type") != c.contentType ||
				response.Header.Get("Retry-After") != c.retryAfter || !strings.Contains(string(body), c.body) {
				t.Errorf("%d %v %s", response.StatusCode, response.Header, body)
			}
			if code, _ := a.ask("queryProductPriceStock", "88", map[string]any{"productId": "88"}); code != "2000" {
				t.Errorf("the fault was used twice: %s", code)
			}
		})
	}
}

func TestFaultScript(t *testing.T) {
	var script faults
	take := func(op string, push bool) FaultKind { return script.take(op, push).Kind }
	script.inject(Fault{Op: "a", Kind: BadJSON, Times: 2, After: 1})
	script.inject(Fault{Kind: Code, Times: -1})
	script.inject(Fault{Op: "p", Kind: Drop})
	var got []FaultKind
	for _, op := range []string{"b", "a", "a", "a", "a"} {
		got = append(got, take(op, false))
	}
	got = append(got, take("q", true), take("p", true), take("p", true))
	want := []FaultKind{Code, Code, BadJSON, BadJSON, Code, "", Drop, ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	script.clear()
	if kind := take("a", false); kind != "" {
		t.Error(kind)
	}
}

func TestConnectionsThatClose(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	ask := func() error {
		body := mustMarshal(a.body("88", map[string]any{"productId": "88"}))
		response, err := http.Post(a.url+fliggyPrefix+"queryProductPriceStock?format=json", "", bytes.NewReader(body))
		if err == nil {
			_ = response.Body.Close()
		}
		return err
	}
	a.fake.Inject(Fault{Kind: DropConnection})
	if ask() == nil || ask() != nil {
		t.Error("one call should fail")
	}
	a.fake.Down()
	for range 2 {
		if ask() == nil {
			t.Error("answered while down")
		}
	}
	a.fake.Up()
	if err := ask(); err != nil {
		t.Error(err)
	}
	if n := a.fake.Calls("queryProductPriceStock"); n != 5 {
		t.Errorf("%d calls", n)
	}
}

func TestSlowTakesItsTime(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	body := mustMarshal(a.body("88", map[string]any{"productId": "88"}))
	synctest.Test(t, func(t *testing.T) {
		a.fake.Inject(Fault{Kind: Slow, Delay: time.Minute})
		start, recorder := time.Now(), httptest.NewRecorder()
		a.fake.ServeHTTP(recorder, httptest.NewRequest("POST", fliggyPrefix+"queryProductPriceStock?format=json", bytes.NewReader(body)))
		if took := time.Since(start); took != time.Minute {
			t.Errorf("%s: %s", took, recorder.Body)
		}
	})
}

func TestFaultsOfPushes(t *testing.T) {
	a := newAsker(t, FliggyConfig{})
	in := newInbox(t, a, "")
	push := func(i int) Delivery {
		return a.fake.Push(t.Context(), FliggyProductPath, fmt.Appendf(nil, `{"messageId":"%d"}`, i))
	}
	a.fake.Inject(Fault{Kind: Drop})
	if d := push(0); d.Fate != Dropped || len(in.read) != 0 {
		t.Errorf("%+v", d)
	}
	a.fake.Inject(Fault{Kind: Duplicate, Copies: 2})
	if d := push(1); d.Fate != Delivered || len(in.read) != 3 {
		t.Errorf("%+v, %d arrived", d, len(in.read))
	}
	a.fake.Inject(Fault{Kind: Reorder, Op: FliggyProductPath, Times: -1})
	for i := range 6 {
		if d := push(i); d.Fate != Held || len(in.read) != 3 {
			t.Errorf("%+v", d)
		}
	}
	released := a.fake.ReleasePushes(t.Context(), 1)
	var order []string
	for _, d := range released {
		order = append(order, d.MessageID)
	}
	if slices.IsSorted(order) || len(released) != 6 || len(in.read) != 9 {
		t.Errorf("released %v, %d arrived", order, len(in.read))
	}
	if again := a.fake.ReleasePushes(t.Context(), 1); len(again) != 0 {
		t.Error("released twice")
	}
}

func TestLogsHoldNoSecrets(t *testing.T) {
	var logged bytes.Buffer
	a := newAsker(t, FliggyConfig{Logger: testLogger(&logged)})
	newInbox(t, a, "secret-token")
	push, err := a.fake.IssueCodes(testOrder, OrderCode{Code: "SECRET-CODE", Persons: 2, Users: []string{"SECRET-ID"}})
	must(t, err)
	a.fake.Push(t.Context(), FliggyOrderPath, push)
	body := a.body(testOrder, map[string]any{"orderId": json.Number(testOrder)})
	a.post("searchOrder", body)
	all := logged.String() + string(mustMarshal(a.fake.CallLog())) + string(mustMarshal(a.fake.Deliveries()))
	if !strings.Contains(all, testOrder) || !strings.Contains(all, "ORDER_SEND_CODE_NOTIFY") {
		t.Errorf("too little is logged: %s", all)
	}
	for _, secret := range []string{"SECRET", "secret-token", body["sign"].(string)} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is logged", secret)
		}
	}
}

func TestLogKeepsTheNewest(t *testing.T) {
	var l log[int]
	for i := range logLimit + 5 {
		l.add(i)
	}
	if all := l.all(); len(all) != logLimit || all[0] != 5 || all[logLimit-1] != logLimit+4 {
		t.Errorf("%d entries, %d to %d", len(all), all[0], all[len(all)-1])
	}
}
