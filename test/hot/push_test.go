// Package hot measures what a push costs this side of the API server.
package hot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

type one struct{ account *accounts.Account }

func (o one) ByAccount(v1alpha1.Platform, string) (*accounts.Account, error) { return o.account, nil }
func (o one) ByName(types.NamespacedName) (*accounts.Account, error)         { return o.account, nil }
func (o one) OnPlatform(v1alpha1.Platform) ([]*accounts.Account, error)      { return nil, nil }

var errAway = &net.OpError{Op: "dial", Err: errors.New("connection refused")}

func handler(b *testing.B) http.Handler {
	identity, _ := sealing.NewIdentity()
	recipients, _ := sealing.Recipients(identity)
	sealer, err := sealing.NewSealer(recipients, sealing.NewCodeKey())
	if err != nil {
		b.Fatal(err)
	}
	scheme := runtime.NewScheme()
	_ = v1alpha1.AddToScheme(scheme)
	away := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).Build(), interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error { return errAway },
	})
	kept, err := journal.Open(journal.Options{Dir: b.TempDir(), MaxBytes: 16 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = kept.Close() })
	account := &accounts.Account{Namespace: "travel", Name: "fliggy-main", Platform: v1alpha1.PlatformFliggy,
		Holder: platform.Holder{ID: "20001"}, Receiver: fliggy.Adapter{}, Sealer: sealer}
	return webhookserver.NewHandler(webhookserver.Options{
		Receivers: map[v1alpha1.Platform]platform.Receiver{v1alpha1.PlatformFliggy: fliggy.Adapter{}},
		Accounts:  one{account}, Recorder: ledger.New(away, away, kept)})
}

const order = `{"pushType":"ORDER_SEND_CODE_NOTIFY","distributorId":20001,"orderId":"%d","outOrderId":"T-1","timestamp":1758600000500,"messageId":"m-%d","data":{"success":true,"codeInfos":[{"code":"A1B2C3D4E5","num":2,"verifiedNum":0,"qrImagePath":"https://img.example.com/qr/A1B2C3D4E5.png","filePath":"https://img.example.com/file/A1B2C3D4E5.pdf","codeUserInfos":["110101199003070011","110101199003070038"]},{"code":9007199254740997,"num":1,"codeUserInfos":["E12345678"]}]}}`
const product = `{"pushType":"VACATION_RESOURCE_PRICE_CHANGE","productCategory":"HOTEL_TICKET","productId":"%d","distributorId":20001,"changedTime":1758600000000,"timestamp":1758600000500,"messageId":"m-%d"}`

func BenchmarkPush(b *testing.B) {
	for _, c := range []struct{ name, tail, body string }{{"product", "product-change", product}, {"order", "order-status", order}} {
		b.Run(c.name, func(b *testing.B) {
			h := handler(b)
			var n atomic.Int64
			b.SetParallelism(64)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					w := httptest.NewRecorder()
					h.ServeHTTP(w, httptest.NewRequest("POST", "/api/webhooks/fliggy/"+c.tail, strings.NewReader(fmt.Sprintf(c.body, i, i))))
					if w.Code != 200 {
						b.Error(w.Code, w.Body.String())
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
		})
	}
}
