package ledger

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// MetadataOnly is what to accept for an answer that has no more of an object than its metadata.
const MetadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

// blind is a client that reads nothing of what the API server answers to a create or a patch
// of ours but whether it was done, and has it answer little: of a product with its year,
// writing and reading the answer costs both sides more than the change. So the object that is
// given stays as it is. All else is as with any client.
type blind struct {
	client.Client
	rest rest.Interface
}

// NewClient makes the client for a Ledger. It reads from no cache, and what it has created or
// patched it does not give back.
func NewClient(config *rest.Config, o client.Options) (client.Client, error) {
	if o.HTTPClient == nil {
		made, err := rest.HTTPClientFor(config)
		if err != nil {
			return nil, fmt.Errorf("make an HTTP client for the API server: %w", err)
		}
		o.HTTPClient = made
	}
	whole, err := client.New(config, o)
	if err != nil {
		return nil, err
	}
	ours, err := apiutil.RESTClientForGVK(v1alpha1.SchemeGroupVersion.WithKind("ProductSync"), true, false, config,
		serializer.NewCodecFactory(whole.Scheme()), o.HTTPClient)
	if err != nil {
		return nil, err
	}
	return blind{whole, ours}, nil
}

// Create an object. The object itself is not brought up to date.
func (c blind) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	resource, known := c.resourceOf(object)
	if !known || len(options) > 0 {
		return c.Client.Create(ctx, object, options...)
	}
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode %s: %w", object.GetName(), err)
	}
	return c.do(ctx, c.rest.Post().SetHeader("Content-Type", runtime.ContentTypeJSON).Body(body), resource, object)
}

// Patch an object. The object itself is not brought up to date.
func (c blind) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	resource, known := c.resourceOf(object)
	if !known || len(options) > 0 {
		return c.Client.Patch(ctx, object, patch, options...)
	}
	body, err := patch.Data(object)
	if err != nil {
		return fmt.Errorf("encode the patch of %s: %w", object.GetName(), err)
	}
	return c.do(ctx, c.rest.Patch(patch.Type()).Name(object.GetName()).Body(body), resource, object)
}

// do makes a request. A success is one only if it speaks of the object: something that stands
// before the API server may answer 200 as well.
func (c blind) do(ctx context.Context, request *rest.Request, resource string, object client.Object) error {
	result := request.SetHeader("Accept", MetadataOnly).Namespace(object.GetNamespace()).Resource(resource).Do(ctx)
	if err := result.Error(); err != nil {
		return err
	}
	answer, err := result.Raw()
	if err != nil {
		return err
	}
	var done struct {
		Metadata struct{ Name, UID string } `json:"metadata"`
	}
	if err := json.Unmarshal(answer, &done); err != nil || done.Metadata.Name != object.GetName() || done.Metadata.UID == "" {
		return fmt.Errorf("the answer to writing %s is not the API server's: %d bytes that are not its metadata", object.GetName(), len(answer))
	}
	return nil
}

// resourceOf names the resource of an object that is written often. Its kind is set: a body
// must say it.
func (c blind) resourceOf(object client.Object) (resource string, known bool) {
	switch o := object.(type) {
	case *v1alpha1.ProductSync:
		o.SetGroupVersionKind(kindOf("ProductSync"))
		return "productsyncs", true
	case *v1alpha1.OrderVoucher:
		o.SetGroupVersionKind(kindOf("OrderVoucher"))
		return "ordervouchers", true
	}
	return "", false
}

func kindOf(kind string) schema.GroupVersionKind { return v1alpha1.SchemeGroupVersion.WithKind(kind) }
