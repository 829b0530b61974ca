package ledger_test

import (
	"bytes"
	"io"
	"net/http"
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
