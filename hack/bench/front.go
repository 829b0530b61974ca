package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

// front stands before the fake platform, so that its own work is not measured: the first
// question of a kind goes to the fake, and for any other product or order the same answer
// is given with its id. An answer takes as long as it is told to.
type front struct {
	fake *platformtest.Fliggy

	mu      sync.Mutex
	delay   time.Duration
	answers map[string]answer
	asked   map[string]bool // ids; nil: nobody wants to know
}

// answer is one that the fake gave about an id.
type answer struct{ id, body string }

func newFront(fake *platformtest.Fliggy) *front {
	return &front{fake: fake, answers: map[string]answer{}}
}

// answerIn sets how long an answer takes.
func (f *front) answerIn(delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = delay
}

// watch begins to note which ids are asked for.
func (f *front) watch() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = map[string]bool{}
}

// seen is how many ids were asked for since then.
func (f *front) seen() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// ServeHTTP answers a question.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	id, key := questionOf(r.URL.Path, body)
	known, delay, found := f.look(id, key)
	text := known.body
	switch {
	case !found:
		text = f.ask(r, id, key, body)
	case known.id != id:
		text = strings.ReplaceAll(text, known.id, id)
	}
	time.Sleep(delay - time.Since(start))
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_, _ = io.WriteString(w, text)
}

// look finds an answer to such a question, whatever its id.
func (f *front) look(id, key string) (known answer, delay time.Duration, found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked != nil && id != "" {
		f.asked[id] = true
	}
	known, found = f.answers[key]
	return known, f.delay, found && id != ""
}

// ask puts a question to the fake, which is told of the product or the order before, and
// keeps the answer.
func (f *front) ask(r *http.Request, id, key string, body []byte) string {
	if id != "" {
		_ = f.fake.PutProduct(productOf(id))
		_ = f.fake.PutOrder(orderOf(id))
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	heard := httptest.NewRecorder()
	f.fake.ServeHTTP(heard, r)
	text := heard.Body.String()
	if id != "" && strings.Contains(text, `"success":true`) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.answers[key] = answer{id, text}
	}
	return text
}

// questionOf is the id that a question is about, and what else it says.
func questionOf(path string, body []byte) (id, key string) {
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(body, &fields) != nil {
		return "", path
	}
	for _, name := range []string{"productId", "orderId"} {
		if value, found := fields[name]; found {
			id = string(bytes.Trim(value, `"`))
			delete(fields, name)
		}
	}
	delete(fields, "sign")
	delete(fields, "timestamp")
	rest, _ := json.Marshal(fields) // what was just read can be written
	return id, path + " " + string(rest)
}

// year is a product's calendar: an ordinary one with weekend prices, and some days closed.
var year = platformtest.Product{Title: "湖畔酒店一晚含西湖成人票", SupplierCode: "WH-1", Days: 365, Price: "350.50", WeekendPrice: "420.00", Stock: 12}

func productOf(id string) platformtest.Product {
	p := year
	p.ID, p.Start = id, time.Now().Format(time.DateOnly)
	for month := range 12 {
		p.Closed = append(p.Closed, time.Now().AddDate(0, month, 5).Format(time.DateOnly))
	}
	return p
}

// orderOf is an order as the pushes about it leave it: both codes are used.
func orderOf(id string) platformtest.Order {
	return platformtest.Order{ID: id, OutOrderID: outOrderID(id), ProductID: "88", Quantity: 2, Price: 35050, Status: platformtest.FliggyTicketed,
		CreatedAt: time.Now().Add(-time.Hour), Codes: []platformtest.OrderCode{{Code: codeOf(id, 1), Persons: 1, Used: 1}, {Code: codeOf(id, 2), Persons: 1, Used: 1}}}
}
