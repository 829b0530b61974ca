package ledger_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/test/env"
)

// listener hears what the API server answers.
type listener struct {
	http.RoundTripper
	answers []string
}

func (l *listener) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body = io.NopCloser(bytes.NewReader(body))
	l.answers = append(l.answers, request.Method+" "+string(body))
	return response, err
}

// The API server answers a write with the object's metadata alone: nobody reads the rest, and a
// product's year is long.
func TestAnswersToWritesAreSmall(t *testing.T) {
	b := open(t, "ch")
	heard := &listener{}
	config := rest.CopyConfig(env.Config())
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { heard.RoundTripper = next; return heard })
	api, err := ledger.NewClient(config, client.Options{Scheme: b.api.Scheme(), Mapper: b.api.RESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	b.Ledger = ledger.New(api, b.api, nil)
	for _, event := range []platform.Event{
		change("1", noon, "m-1", platform.AspectPrice), change("1", noon.Add(time.Second), "m-2", platform.AspectPrice),
		told("2", "m-3"), told("2", "m-4"),
	} {
		if outcome := b.record(push("x"), event); outcome != platform.OutcomeRecorded {
			t.Fatalf("outcome %s", outcome)
		}
	}
	done := 0
	for _, answer := range heard.answers {
		if strings.Contains(answer, `"kind":"Status"`) { // a patch before the object is there
			continue
		}
		if done++; !strings.Contains(answer, `"kind":"PartialObjectMetadata"`) || strings.Contains(answer, `"spec":`) {
			t.Errorf("the answer was %s", answer)
		}
	}
	if done != 4 {
		t.Errorf("%d writes were done, want 4: %q", done, heard.answers)
	}
}

// What is answered by something else than the API server is no success, whatever it says.
func TestOnlyTheAPIServersAnswerCounts(t *testing.T) {
	b := open(t, "ch")
	for name, answer := range map[string]http.HandlerFunc{
		"a page":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>be back soon</html>") },
		"nothing": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"another object": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"metadata":{"name":"ch-2","uid":"u"}}`)
		},
		"a list of objects": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"metadata":{},"items":[]}`) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/login" {
				_, _ = io.WriteString(w, "<html>who are you?</html>")
				return
			}
			http.Redirect(w, r, "/login", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			mapper := b.api.RESTMapper()
			api, err := ledger.NewClient(&rest.Config{Host: server.URL}, client.Options{Scheme: b.api.Scheme(), Mapper: mapper})
			if err != nil {
				t.Fatal(err)
			}
			book := ledger.New(api, b.api, nil)
			got, err := book.Record(t.Context(), b.account, push("x"), []platform.Event{change("1", noon, "m-1", platform.AspectPrice)})
			if err == nil || got.Accepted() {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}
