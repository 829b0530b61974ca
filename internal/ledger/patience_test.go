package ledger_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// busy is an API server that asks for patience once, and then takes a patch.
type busy struct {
	mu   sync.Mutex
	came []time.Time
}

func (b *busy) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	b.came = append(b.came, time.Now())
	first := len(b.came) == 1
	b.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if first {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	_, _ = w.Write([]byte(`{"apiVersion":"` + v1alpha1.SchemeGroupVersion.String() + `","kind":"ProductSync","metadata":{"name":"ch-1","uid":"u"}}`))
}

// An API server that says when to come again is asked again then, and not before.
func TestRetryAfterIsHonoured(t *testing.T) {
	b := open(t, "ch")
	server := &busy{}
	listening := httptest.NewServer(server)
	defer listening.Close()
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.SchemeGroupVersion})
	mapper.Add(v1alpha1.SchemeGroupVersion.WithKind("ProductSync"), meta.RESTScopeNamespace)
	api, err := ledger.NewClient(&rest.Config{Host: listening.URL, QPS: -1}, client.Options{Scheme: b.api.Scheme(), Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	b.Ledger = ledger.New(api, api, nil)
	if outcome := b.record(push("x"), change("1", noon, "m-1", platform.AspectPrice)); outcome != platform.OutcomeRecorded {
		t.Errorf("outcome %s", outcome)
	}
	if len(server.came) != 2 || server.came[1].Sub(server.came[0]) < time.Second {
		t.Errorf("it was asked at %v", server.came)
	}
}
