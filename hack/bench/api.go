package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// api is a plain client of the API server: it sends bytes, and looks at no answer but the
// status. It has what the ledger has, a connection for each request under way, and spares what
// the ledger cannot: so the ceiling it measures is high.
type api struct {
	base string
	http *http.Client
}

func newAPI(kubeconfig string) (*api, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	secure, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	own := &http.Transport{TLSClientConfig: secure, MaxIdleConnsPerHost: 2 * rawWorkers} // and so HTTP/1.1
	road, err := rest.HTTPWrappersForConfig(config, own)
	if err != nil {
		return nil, err
	}
	return &api{base: config.Host, http: &http.Client{Transport: road}}, nil
}

// Content types of writes.
const (
	asJSON  = "application/json"
	asMerge = "application/merge-patch+json"
	asPatch = "application/json-patch+json"
	asApply = "application/apply-patch+yaml" // JSON is YAML
)

// metadataOnly is what the ledger asks for in answer to a write: it is the least there is.
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

// statusError is an answer that is no success.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("%d: %s", e.code, e.text) }

// send makes one request. Of a failure's answer the beginning is kept.
func (a *api) send(ctx context.Context, method, path, contentType string, body []byte) error {
	response, err := a.do(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// remove deletes an object, if it is there.
func (a *api) remove(ctx context.Context, path string) error {
	err := a.send(ctx, http.MethodDelete, path, "", nil)
	if status, ok := errors.AsType[*statusError](err); ok && status.code == http.StatusNotFound {
		return nil
	}
	return err
}

// get reads a whole answer.
func (a *api) get(ctx context.Context, path string) ([]byte, error) {
	response, err := a.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

func (a *api) getInto(ctx context.Context, path string, into any) error {
	text, err := a.get(ctx, path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func (a *api) do(ctx context.Context, method, path, contentType string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
		request.Header.Set("Accept", metadataOnly)
	}
	response, err := a.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return nil, &statusError{response.StatusCode, string(text)}
	}
	return response, nil
}

// Kinds, as the API's paths name them.
const (
	products = "productsyncs"
	orders   = "ordervouchers"
)

// collection is the path of all objects of a kind, or of one if a name is given.
func collection(kind string, name ...string) string {
	return strings.Join(append([]string{"/apis", v1alpha1.SchemeGroupVersion.String(), "namespaces", namespace, kind}, name...), "/")
}

// pageOfList is how many objects are listed at a time.
const pageOfList = 500

// each lists all objects of a kind, as they are in etcd, and gives one after the other.
func each[T any](ctx context.Context, a *api, kind string, yield func(*T)) error {
	for next := ""; ; {
		var page struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []T `json:"items"`
		}
		if err := a.getInto(ctx, fmt.Sprintf("%s?limit=%d&continue=%s", collection(kind), pageOfList, url.QueryEscape(next)), &page); err != nil {
			return fmt.Errorf("list %s: %w", kind, err)
		}
		for i := range page.Items {
			yield(&page.Items[i])
		}
		if next = page.Metadata.Continue; next == "" {
			return nil
		}
	}
}

// count is how many objects of a kind there are.
func (a *api) count(ctx context.Context, kind string) (int, error) {
	var page struct {
		Metadata struct {
			Remaining int `json:"remainingItemCount"`
		} `json:"metadata"`
		Items []struct{} `json:"items"`
	}
	err := a.getInto(ctx, collection(kind)+"?limit=1", &page)
	return page.Metadata.Remaining + len(page.Items), err
}
