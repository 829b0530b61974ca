package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/ledger"
)

// This file is what lets the manager start, and end, while the API server is away.

// mapper tells the resources of the kinds that are read and written here. They are known,
// so the API server need not be asked: it may be away. (Events and the lease are written by
// clients of their own, which know their resources too.)
func mapper(*rest.Config, *http.Client) (meta.RESTMapper, error) { //nolint:forbidigo // it is given one, and does not use it
	scheme := newScheme()
	known := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.SchemeGroupVersion, corev1.SchemeGroupVersion})
	for _, object := range []client.Object{&v1alpha1.Channel{}, &v1alpha1.ProductSync{}, &v1alpha1.OrderVoucher{}, &corev1.Secret{}} {
		kind, err := apiutil.GVKForObject(object, scheme)
		if err != nil {
			return nil, fmt.Errorf("tell the resource of a kind: %w", err)
		}
		known.Add(kind, meta.RESTScopeNamespace)
		// A cache of some namespaces asks about lists too.
		known.Add(kind.GroupVersion().WithKind(kind.Kind+"List"), meta.RESTScopeNamespace)
	}
	return known, nil
}

// newCacheUntil makes caches that are not waited for any more once the context has ended.
// The manager waits for its caches whatever happens: told to end while the API server is
// away, it would not.
func newCacheUntil(ctx context.Context) cache.NewCacheFunc {
	return func(config *rest.Config, o cache.Options) (cache.Cache, error) {
		made, err := cache.New(config, o)
		if err != nil {
			return nil, err
		}
		return cacheUntil{made, ctx}, nil
	}
}

type cacheUntil struct {
	cache.Cache
	end context.Context
}

func (c cacheUntil) WaitForCacheSync(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.end, cancel)()
	return c.Cache.WaitForCacheSync(ctx) || c.end.Err() != nil
}

// newScheme knows the kinds that are read and written here.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// terse is an API server that answers to a status with the metadata of its object: whoever
// applied it knows the rest, and of a product with its year the rest costs both sides more to
// write and to read than anything else about the answer.
func terse(config *rest.Config) *rest.Config {
	asking := rest.CopyConfig(config)
	asking.Wrap(func(next http.RoundTripper) http.RoundTripper { return terseTransport{next} })
	return asking
}

type terseTransport struct{ next http.RoundTripper }

func (t terseTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, "/status") {
		request = request.Clone(request.Context())
		request.Header.Set("Accept", ledger.MetadataOnly)
	}
	return t.next.RoundTrip(request)
}

// WrappedRoundTripper lets those who look for the transport below find it.
func (t terseTransport) WrappedRoundTripper() http.RoundTripper { return t.next }
