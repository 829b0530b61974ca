package accounts

import "k8s.io/apimachinery/pkg/types"

// Loads is how many loads of a Channel are under way or wait their turn.
func (r *Registry) Loads(name types.NamespacedName) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if turn := r.loading[name]; turn != nil {
		return turn.takers
	}
	return 0
}
