package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	ac "github.com/laidoulaile/channel-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/test/env"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(env.Main(m))
}

// The flags that scripts outside rely on.
func TestFlagsOfTheContract(t *testing.T) {
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	args := os.Args
	os.Args = []string{"manager"}
	t.Cleanup(func() { os.Args = args })
	o := parse(flags)
	for _, name := range []string{"push-bind-address", "metrics-bind-address", "metrics-secure", "health-probe-bind-address",
		"journal-dir", "leader-elect", "allow-private-endpoints"} {
		if flags.Lookup(name) == nil {
			t.Errorf("--%s is gone", name)
		}
	}
	if o.pushAddress != ":8080" || o.metricsAddress != ":8081" || o.probeAddress != ":8082" || !o.metricsSecure || o.allowPrivate {
		t.Errorf("defaults %+v", o)
	}
}

// What the API server quotes in a refusal is not logged, whoever logs it.
func TestLoggerShowsNoValuesOfRefusals(t *testing.T) {
	var written bytes.Buffer
	refused := apierrors.NewInvalid(v1alpha1.SchemeGroupVersion.WithKind("Channel").GroupKind(), "main",
		field.ErrorList{field.Invalid(field.NewPath("spec", "account"), "PLANTED", "no")})
	newLogger(&zap.Options{DestWriter: &written}).Error(fmt.Errorf("write: %w", refused), "Reconciler error", "why", refused)
	if text := written.String(); strings.Contains(text, "PLANTED") || strings.Count(text, "Invalid: spec.account: FieldValueInvalid") != 2 {
		t.Error(text)
	}
}

func TestTrustedProxiesMustBeCIDRs(t *testing.T) {
	if got, err := parsePrefixes("trusted-proxies", "10.0.0.0/8, 192.0.2.1/32"); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parsePrefixes("trusted-proxies", "10.0.0.1"); err == nil {
		t.Error("an address passed as a CIDR")
	}
}

func TestWatchNamespaces(t *testing.T) {
	for list, want := range map[string][]string{"": nil, "travel": {"travel"}, "travel, tours": {"travel", "tours"}} {
		o := options{watchNamespaces: list}
		if err := checkNamespaces(o.namespaces()); err != nil {
			t.Errorf("%q: %v", list, err)
		}
		if got := slices.Collect(maps.Keys(managerOptions(o).Cache.DefaultNamespaces)); len(got) != len(want) || slices.ContainsFunc(want, func(name string) bool { return !slices.Contains(got, name) }) {
			t.Errorf("%q: the cache has %q, want %q", list, got, want)
		}
	}
	for _, list := range []string{"Travel", "*", "a/b", "travel;tours"} {
		if err := checkNamespaces(items(list)); err == nil || !strings.Contains(err.Error(), "--watch-namespaces") {
			t.Errorf("%q: %v", list, err)
		}
	}
}

// Not left to what the language's default is.
func TestMetricsSpeakTLS12AtLeast(t *testing.T) {
	var config tls.Config
	for _, set := range managerOptions(options{metricsSecure: true}).Metrics.TLSOpts {
		set(&config)
	}
	if config.MinVersion != tls.VersionTLS12 {
		t.Errorf("the least version is %x", config.MinVersion)
	}
}

// A journal whose disk may have lost something says so, and one that is whole says nothing.
func TestTornJournalIsLogged(t *testing.T) {
	dir := t.TempDir()
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	for _, torn := range []bool{false, false, true} {
		if torn {
			file, err := os.OpenFile(filepath.Join(dir, "journal.db"), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = file.WriteAt(make([]byte, 100), 0) // the first header
			if err := errors.Join(err, file.Close()); err != nil {
				t.Fatal(err)
			}
		}
		kept, err := openJournal(log, dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := kept.Put(t.Context(), "order/n/c/1", []byte("x")); err != nil { // both headers are a journal's then
			t.Fatal(err)
		}
		closeJournal(kept)
		if said := len(lines) == 1 && strings.Contains(lines[0], dir); said != torn {
			t.Errorf("torn %t: logged %q", torn, lines)
		}
	}
}

// A look at an object sees the status that the look before wrote, and no sealed body; of a status
// that is written no more comes back than the metadata.
func TestManagersClientReadsItsOwnWrites(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	mgr, err := ctrl.NewManager(terse(env.Config()), managerOptions(options{metricsAddress: "0", probeAddress: "0"}))
	if err != nil {
		t.Fatal(err)
	}
	c := mgr.GetClient()
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	direct, err := client.New(env.Config(), client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		t.Fatal(err)
	}
	namespace := env.Namespace(t, direct)
	voucher := &v1alpha1.OrderVoucher{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "o"}, Spec: v1alpha1.OrderVoucherSpec{
		ChannelRef: v1alpha1.ChannelReference{Name: "c"}, OrderID: "1",
		Notifications: []v1alpha1.Notification{{ID: "m", Type: v1alpha1.NotificationOther, PlatformType: "X",
			ReceivedAt: metav1.NewMicroTime(time.Now()), Sealed: "c2VhbGVk"}}}}
	if err := direct.Create(ctx, voucher); err != nil {
		t.Fatal(err)
	}
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		t.Fatal("the cache does not sync")
	}
	for i := range 60 {
		want := fmt.Sprint(i)
		applied := ac.OrderVoucher("o", namespace).WithStatus(ac.OrderVoucherStatus().WithSummary(ac.OrderSummary().WithCodes(want)))
		if err := c.Status().Apply(ctx, applied, client.FieldOwner("test"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
		if *applied.Kind != "PartialObjectMetadata" { // the answer is read into what was sent
			t.Fatalf("the answer is a whole %s", *applied.Kind)
		}
		var got v1alpha1.OrderVoucher
		if err := c.Get(ctx, client.ObjectKeyFromObject(voucher), &got); err != nil {
			t.Fatal(err)
		}
		if got.Status.Summary.Codes != want {
			t.Fatalf("write %s, read %s", want, got.Status.Summary.Codes)
		}
		if got.Spec.Notifications[0].Sealed != "" || len(got.ManagedFields) != 0 {
			t.Fatal("the cache keeps what the controllers never look at")
		}
	}
}

// What pushes wait for has a connection of its own.
func TestLedgersConnectionIsItsOwn(t *testing.T) {
	var mu sync.Mutex
	from := map[string]bool{}
	spoken := ""
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from[r.RemoteAddr], spoken = true, r.Proto
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	config := &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	for i, asking := range []*rest.Config{config, config, apart(config)} {
		c, err := rest.HTTPClientFor(asking)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if want := []int{1, 1, 2}[i]; len(from) != want {
			t.Errorf("client %d: %d connections, want %d", i, len(from), want)
		}
		if want := []string{"HTTP/2.0", "HTTP/2.0", "HTTP/1.1"}[i]; spoken != want {
			t.Errorf("client %d speaks %s, want %s", i, spoken, want)
		}
	}
}
