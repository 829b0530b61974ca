package accounts

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	toolscache "k8s.io/client-go/tools/cache"
)

// Loads is how many loads of a Channel are under way or wait their turn.
func (r *Registry) Loads(name types.NamespacedName) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if turn := r.loading[name]; turn != nil {
		return turn.takers
	}
	return 0
}

// WatchedObjects watches a namespace's Secrets as the registry does, until the test ends, and gives
// what stands in memory of them.
func WatchedObjects(client metadata.Interface, namespace string, done func(stop func())) toolscache.Store {
	watch := &secretWatch{namespaces: map[string]*watchedNamespace{}}
	watch.use(client)
	watch.begin(namespace)
	done(watch.endAll)
	return watch.namespaces[namespace].informer.GetStore()
}
