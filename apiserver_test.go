package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/test/env"
)

// What is known without asking is what the API server says.
func TestMapperKnowsWhatTheAPIServerSays(t *testing.T) {
	known, err := mapper(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	httpClient, err := rest.HTTPClientFor(env.Config())
	if err != nil {
		t.Fatal(err)
	}
	asked, err := apiutil.NewDynamicRESTMapper(env.Config(), httpClient)
	if err != nil {
		t.Fatal(err)
	}
	kinds := 0
	for kind := range newScheme().AllKnownTypes() {
		got, err := known.RESTMapping(kind.GroupKind(), kind.Version)
		if meta.IsNoMatchError(err) {
			continue
		}
		kinds++
		want, errAsked := asked.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil || errAsked != nil {
			t.Fatalf("%s: %v, %v", kind, err, errAsked)
		}
		if got.Resource != want.Resource || got.Scope.Name() != want.Scope.Name() {
			t.Errorf("%s: %s (%s), want %s (%s)", kind, got.Resource, got.Scope.Name(), want.Resource, want.Scope.Name())
		}
	}
	if kinds != 8 { // and their lists
		t.Errorf("it knows %d kinds", kinds)
	}
	for _, kind := range []string{"Channel", "ProductSync", "OrderVoucher"} {
		if _, err := known.RESTMapping(v1alpha1.SchemeGroupVersion.WithKind(kind).GroupKind()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := known.RESTMapping(corev1.SchemeGroupVersion.WithKind("Secret").GroupKind(), "v1"); err != nil {
		t.Error(err)
	}
}
