package faults

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

// gossip stands before a platform that tells, whenever it fails, what nobody should: the
// credentials it was asked with, and what is secret of orders. Every other answer is a
// failure, twice in each form, until there were enough of them.
type gossip struct {
	enough int

	mu              sync.Mutex
	calls, failures int
}

// numFailures is how many forms a failure has.
const numFailures = 9

// forms of a failure; fails is the platform's own, with the words in it.
var forms = [numFailures]func(w http.ResponseWriter, words, fails string){
	func(w http.ResponseWriter, _, fails string) { answer(w, http.StatusOK, "application/json", fails) },
	func(w http.ResponseWriter, words, _ string) {
		answer(w, http.StatusInternalServerError, "text/plain", words)
	},
	func(w http.ResponseWriter, words, _ string) { answer(w, http.StatusOK, "text/html", "<p>"+words) },
	func(w http.ResponseWriter, _, fails string) {
		answer(w, http.StatusOK, "application/json", fails[:len(fails)-1])
	},
	func(w http.ResponseWriter, _, _ string) {
		w.Header().Set("Location", "https://img.invalid/qr/"+planted+".png?token="+planted)
		answer(w, http.StatusFound, "text/plain", planted)
	},
	func(w http.ResponseWriter, words, _ string) { raw(w, words) },
	func(w http.ResponseWriter, words, _ string) { raw(w, "HTTP/1.1 200 OK\r\n"+words) },
	func(w http.ResponseWriter, _, _ string) {
		raw(w, "HTTP/1.1 200 OK\r\nContent-Length: "+planted)
	},
	func(w http.ResponseWriter, _, _ string) { raw(w, "HTTP/1.1 "+planted+" OK") },
}

func answer(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// raw answers what need not be HTTP.
func raw(w http.ResponseWriter, text string) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(connection, text+"\r\n\r\n")
	_ = connection.Close()
}

// What platforms answer when they fail, with a place for their words as JSON.
const (
	fliggyFails = `{"success":false,"code":"9000","msg":%s}`
	douyinFails = `{"data":{"error_code":2100004,"description":%[1]s},"extra":{"error_code":2100004,"description":%[1]s}}`
	scttFails   = `{"code":4999,"msg":%s,"data":null}`
)

// before puts the gossip before a platform that fails so.
func (g *gossip) before(fails string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			form, fail := g.next()
			if !fail {
				next.ServeHTTP(w, r)
				return
			}
			body, _ := io.ReadAll(r.Body)
			words := wordsOf(cmp.Or(r.Header.Get("access-token"), string(bytes.TrimSpace(body))))
			forms[form](w, words, fmt.Sprintf(fails, strconv.Quote(words)))
		})
	}
}

// next is the form of the next answer, if it is to be a failure.
func (g *gossip) next() (form int, fail bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	if g.calls%2 == 0 || g.failures == g.enough {
		return 0, false
	}
	g.failures++
	return (g.failures - 1) / 2 % numFailures, true
}

// told is how many failures there were.
func (g *gossip) told() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failures
}

// wordsOf is what a careless platform says of a question.
func wordsOf(asked string) string {
	return careless + ", asked with " + strings.ToValidUTF8(asked[:min(len(asked), 120)], "")
}

// careless are words that hold what is secret of an order, early enough not to be cut off.
var careless = strings.Join([]string{"no order with code", planted + "-77", "of", spacedMobile, platformtest.FliggyTravellerMobile,
	"certificate", platformtest.FliggyTravellerCertificate, "see https://img.invalid/" + planted + ".png"}, " ")
