package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/test/env"
)

// progress sees every state that orders and products of a namespace are ever in, and notes
// each status that goes back behind the one before.
type progress struct {
	mu      sync.Mutex
	seen    map[string]client.Object // the newest, by kind and name
	said    map[string][]string      // what the statuses said, by order or product
	faults  []string
	written time.Time // when a status was last written
}

// watchProgress watches until the function that it gives is called, which waits for the end.
func (w *world) watchProgress() (*progress, func()) {
	w.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		w.Fatal(err)
	}
	api, err := client.NewWithWatch(env.Config(), client.Options{Scheme: scheme})
	if err != nil {
		w.Fatal(err)
	}
	p := &progress{seen: map[string]client.Object{}, said: map[string][]string{}}
	ctx, cancel := context.WithCancel(w.Context())
	var watching sync.WaitGroup
	for _, list := range []client.ObjectList{&v1alpha1.OrderVoucherList{}, &v1alpha1.ProductSyncList{}} {
		watching.Go(func() {
			if err := p.watch(ctx, api, list, w.namespace); err != nil && ctx.Err() == nil {
				w.Error(err)
			}
		})
	}
	return p, func() { cancel(); watching.Wait() }
}

// watch follows the objects of a kind, of which there are none yet.
func (p *progress) watch(ctx context.Context, api client.WithWatch, list client.ObjectList, namespace string) error {
	version := ""
	for ctx.Err() == nil { // the API server ends a watch now and then
		watch, err := api.Watch(ctx, list, &client.ListOptions{Namespace: namespace, Raw: &metav1.ListOptions{ResourceVersion: version}})
		if err != nil {
			return err
		}
		for event := range watch.ResultChan() {
			object, is := event.Object.(client.Object)
			if !is {
				return fmt.Errorf("the watch failed: %v", event.Object)
			}
			version = object.GetResourceVersion()
			p.note(object)
		}
	}
	return nil
}

// note compares an object with what it was.
func (p *progress) note(object client.Object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch now := object.(type) {
	case *v1alpha1.OrderVoucher:
		name := "order " + now.Spec.OrderID
		before, _ := p.seen[name].(*v1alpha1.OrderVoucher)
		if before != nil {
			p.mark(name, before.Status.ObservedGeneration, now.Status.ObservedGeneration, orderGoesBack(before.Status, now.Status))
		}
		if now.Status.Confirmed != nil {
			p.say(now.Spec.OrderID, told(now.Status))
		}
		p.seen[name] = now
	case *v1alpha1.ProductSync:
		name := "product " + now.Spec.ProductID
		before, _ := p.seen[name].(*v1alpha1.ProductSync)
		if before != nil {
			p.mark(name, before.Status.ObservedGeneration, now.Status.ObservedGeneration, productGoesBack(before.Status, now.Status))
		}
		if now.Status.PriceRange != nil {
			p.say(now.Spec.ProductID, syncedDays(now.Status))
		}
		p.seen[name] = now
	}
}

// mark notes that a status was written, and whether it went back.
func (p *progress) mark(name string, before, now int64, back string) {
	if now != before {
		p.written = time.Now()
	}
	if now < before {
		p.faults = append(p.faults, fmt.Sprintf("%s: the observed generation was %d, and then %d", name, before, now))
	}
	if back != "" {
		p.faults = append(p.faults, name+": "+back)
	}
}

// say notes what a status says, if it is not what it said before.
func (p *progress) say(id, what string) {
	if all := p.said[id]; len(all) == 0 || all[len(all)-1] != what {
		p.said[id] = append(all, what)
	}
}

func orderGoesBack(before, now v1alpha1.OrderVoucherStatus) string {
	if before.Confirmed == nil {
		return ""
	}
	if now.Confirmed == nil || now.Confirmed.At.Before(&before.Confirmed.At) {
		return fmt.Sprintf("it was confirmed at %v, and then at %v", before.Confirmed, now.Confirmed)
	}
	return ""
}

func productGoesBack(before, now v1alpha1.ProductSyncStatus) string {
	if before.FetchedAt != nil && (now.FetchedAt == nil || now.FetchedAt.Before(before.FetchedAt)) {
		return fmt.Sprintf("it was fetched at %v, and then at %v", before.FetchedAt, now.FetchedAt)
	}
	was, is := observed(before.Observed), observed(now.Observed)
	for aspect, at := range was {
		if at != nil && (is[aspect] == nil || is[aspect].Before(at)) {
			return fmt.Sprintf("%s was observed as of %v, and then of %v", aspect, at, is[aspect])
		}
	}
	return ""
}

// wentBack lists what went back: by itself, and compared with what the platform's books said
// one after the other.
func (p *progress) wentBack(past map[string][]string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	faults := slices.Clone(p.faults)
	for id, said := range p.said {
		i := 0
		for n, what := range said {
			next := slices.Index(past[id][i:], what)
			if next < 0 {
				faults = append(faults, fmt.Sprintf("%s: said %q after %q, which on the platform it was not, or only before", id, what, said[:n]))
				break
			}
			i += next
		}
	}
	return faults
}

// lastWritten is when a status was last seen to speak of another generation.
func (p *progress) lastWritten() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written
}
