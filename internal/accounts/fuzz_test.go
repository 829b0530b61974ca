package accounts_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/douyin"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
)

// gone is an API server that is away.
type gone struct {
	client.Reader
	client.Writer
}

var errGone = errors.New("the API server is away")

func (gone) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errGone
}

func (gone) List(context.Context, client.ObjectList, ...client.ListOption) error { return errGone }

// FuzzCopy: whatever was sealed as the copy of the accounts, it gives accounts that can receive,
// or an error that shows nothing of it.
func FuzzCopy(f *testing.F) {
	dir, keyDir, path := written(f)
	for _, content := range []string{
		`{"version":1,"channels":[{"namespace":"travel","name":"main","uid":"u","created":"2026-11-22T12:00:00Z",` +
			`"spec":{"platform":"Douyin","account":"20001","credentialsRef":{"name":"c"},"sealing":{"recipients":["age1x"]}},` +
			`"secrets":{"c":{"clientSecret":"UExBTlRFRA=="},"main-sealing":{"code-id.key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}}]}`,
		`{"version":1,"channels":[{"namespace":"a","name":"b","spec":{"platform":"SCTT","account":"1","sctt":{"signature":{}},"receive":{"allowedCIDRs":["x"],"tokenSecretRef":{"name":"t","key":"k"}}},` +
			`"secrets":{"t":{"k":"UExBTlRFRA=="}}},{"namespace":"a","name":"b"}]}`,
		`{"version":1,"channels":[{"spec":{"platform":"Fliggy","endpoint":"http://[::1]%"}}]}`, `{"version":2}`, `{"version":1,"channels":null}`, `[`,
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, sealed(t, keyDir, string(content)), 0o600); err != nil {
			t.Fatal(err)
		}
		copied := openCopy(t, dir, keyDir)
		found, err := copied.Read()
		if err != nil && (len(found) > 0 || strings.Contains(strings.ReplaceAll(err.Error(), filepath.Dir(path), ""), planted)) {
			t.Errorf("%d Channels, %v", len(found), err)
		}
		registry := accounts.NewRegistry(accounts.Options{
			Adapters: map[v1alpha1.Platform]platform.Adapter{v1alpha1.PlatformFliggy: fliggy.Adapter{}, v1alpha1.PlatformDouyin: douyin.Adapter{},
				v1alpha1.PlatformSCTT: sctt.Adapter{}},
			Channels: gone{}, Secrets: gone{}, Writer: gone{}, RoundTripper: http.NewFileTransport(nil), Copy: copied,
		})
		registry.Restore(t.Context())
		for _, one := range found {
			account, err := registry.ByName(types.NamespacedName{Namespace: one.Namespace, Name: one.Name})
			if account == nil {
				if err == nil || errors.Is(err, accounts.ErrUnknown) {
					t.Errorf("%s/%s: %v, before the API server was asked", one.Namespace, one.Name, err)
				}
				continue
			}
			if err == nil && (account.Receiver == nil || account.Sealer == nil || !account.Restored) {
				t.Errorf("%s/%s cannot receive: %+v", one.Namespace, one.Name, account)
			}
		}
	})
}
