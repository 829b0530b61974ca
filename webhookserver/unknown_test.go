package webhookserver_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/douyin"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

// empty is an API server without any Channel, which counts how often it is asked.
type empty struct {
	client.Client
	asked atomic.Int64
}

func (e *empty) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	e.asked.Add(1)
	return nil
}

func (e *empty) List(context.Context, client.ObjectList, ...client.ListOption) error {
	e.asked.Add(1)
	return nil
}

// An account, or a Channel, that nobody has costs no call of the API server, however often it is
// named; the registry is the real one.
func TestUnknownAccountCostsNoCall(t *testing.T) {
	api := &empty{}
	registry := accounts.NewRegistry(accounts.Options{Channels: api, Secrets: api, Writer: api})
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- registry.Start(ctx) }()
	t.Cleanup(func() { stop(); _ = await(t, over) })
	eventually(t, "the registry is ready", registry.Ready)
	b := with(nil, nil)
	options := b.options()
	options.Accounts = registry
	h := webhookserver.NewHandler(options)
	info, before := sample(t, "product-info.json"), api.asked.Load()
	for i := range 1000 {
		answered(t, post(h, byAccount+productTail, strings.Replace(info, holder, fmt.Sprint(i), 1)), 404, "error")
		answered(t, post(h, fmt.Sprintf("/api/channels/travel/no-%d/%s", i, productTail), info), 404, "error")
	}
	if n := api.asked.Load() - before; n != 0 || len(b.recorded) > 0 {
		t.Errorf("%d calls, %d recorded", n, len(b.recorded))
	}
}

// Whatever is made up, of accounts, Channels, types, tokens and addresses, by whoever is not
// proven: it makes no label of a metric. The adapters are the real ones.
func TestNobodyMakesLabels(t *testing.T) {
	b := with(tokened(), nil)
	options := b.options(proxied)
	options.Receivers = map[v1alpha1.Platform]platform.Receiver{v1alpha1.PlatformFliggy: fliggy.Adapter{},
		v1alpha1.PlatformDouyin: douyin.Adapter{}, v1alpha1.PlatformSCTT: sctt.Adapter{}}
	h := webhookserver.NewHandler(options)
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			for name, receiver := range options.Receivers {
				for _, tail := range receiver.Paths() {
					for _, path := range []string{webhookserver.WebhookPath(name, tail), fmt.Sprintf("/api/channels/made-%d/up-%d/%s", i, i, tail), byChannel + tail} {
						for _, id := range []string{holder, fmt.Sprint("made-up-", i)} {
							post(h, fmt.Sprintf("%s?token=%d&x=%d", path, i, i), madeUp(id, i), func(r *http.Request) {
								r.RemoteAddr = ingress
								r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i%256))
								r.Header.Set("X-Douyin-Signature", fmt.Sprint(i))
							})
						}
					}
				}
			}
		}
	}
	flood(0, 12)
	before := series(t)
	flood(12, 300)
	if after := series(t); after != before {
		t.Errorf("%d series, %d more", after, after-before)
	}
}

// madeUp is a push of any platform, with all that it could name made up.
func madeUp(account string, i int) string {
	return fmt.Sprintf(`{"pushType":"TYPE_%d","distributorId":%q,"orderId":"%d","messageId":"m%d","timestamp":1758600000500,"data":{},`+
		`"event":"event_%d","client_key":%q,"content":"{}","merchant_id":%q,"request_time":"%d","sign":"%d"}`, i, account, i, i, i, account, account, i, i)
}

// series are all that the package's metrics have.
func series(t *testing.T) int {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(webhookserver.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, family := range families {
		n += len(family.GetMetric())
	}
	return n
}
