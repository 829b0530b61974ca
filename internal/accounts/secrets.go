package accounts

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	ctrlsource "sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// What a cluster-wide install gives the manager in a namespace, as config/ names it.
const (
	// SecretsRole is the ClusterRole, and by habit the RoleBinding, of config/channel-secrets.
	SecretsRole    = "channel-operator-channel-secrets"
	managerAccount = "channel-operator-system:channel-operator-manager"
)

// secretWatch watches the Secrets of the namespaces that have Channels, and of no others: who
// they are and that they change, not what is in them.
type secretWatch struct {
	mu sync.Mutex
	// client is nil until the manager is known; without it nothing is watched.
	client metadata.Interface
	// followers are told of every namespace's Secrets.
	followers  []follower
	namespaces map[string]*watchedNamespace
	ended      bool
}

type watchedNamespace struct {
	informer toolscache.SharedIndexInformer
	stop     chan struct{}
}

// follower adds an event handler.
type follower func(toolscache.SharedIndexInformer) error

// use is where Secrets are watched from now on.
func (w *secretWatch) use(client metadata.Interface) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.client = client
}

// begin watches a namespace, if nobody does yet. Where the rights are missing it is tried again,
// every 30 seconds at the latest.
func (w *secretWatch) begin(namespace string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client == nil || w.ended || w.namespaces[namespace] != nil {
		return
	}
	informer := metadatainformer.NewFilteredMetadataInformer(w.client, corev1.SchemeGroupVersion.WithResource("secrets"),
		namespace, 0, toolscache.Indexers{}, nil).Informer()
	log := ctrl.Log.WithName("accounts").WithValues("namespace", namespace)
	err := errors.Join(informer.SetTransform(onlyNames), informer.SetWatchErrorHandlerWithContext(
		func(_ context.Context, _ *toolscache.Reflector, err error) {
			log.Info("changes of the Secrets are not seen: trying again", "why", err)
		}))
	for _, follow := range w.followers {
		err = errors.Join(err, follow(informer))
	}
	if err != nil {
		log.Error(err, "changes of the Secrets will not be seen")
	}
	watched := &watchedNamespace{informer: informer, stop: make(chan struct{})}
	w.namespaces[namespace] = watched
	go informer.Run(watched.stop)
}

// end watches a namespace no more.
func (w *secretWatch) end(namespace string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if watched := w.namespaces[namespace]; watched != nil {
		close(watched.stop)
		delete(w.namespaces, namespace)
	}
}

// endAll watches nothing any more, for good.
func (w *secretWatch) endAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for namespace, watched := range w.namespaces {
		close(watched.stop)
		delete(w.namespaces, namespace)
	}
}

// follow has a follower told of the Secrets of all namespaces that have Channels, now or later.
func (w *secretWatch) follow(follow follower) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.followers = append(w.followers, follow)
	var err error
	for _, watched := range w.namespaces {
		err = errors.Join(err, follow(watched.informer))
	}
	return err
}

// onlyNames drops what nobody looks at. An annotation of kubectl's may hold a Secret's content.
func onlyNames(object any) (any, error) {
	if secret, ok := object.(*metav1.PartialObjectMetadata); ok {
		secret.Annotations, secret.ManagedFields = nil, nil
	}
	return object, nil
}

// SecretEvents is a source of the events of Secrets in the namespaces that have Channels. All
// the predicates must let an event through.
func (r *Registry) SecretEvents(events handler.EventHandler, only ...predicate.Predicate) ctrlsource.Source {
	return ctrlsource.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		return r.secrets.follow(func(informer toolscache.SharedIndexInformer) error {
			return (&ctrlsource.Informer{Informer: informer, Handler: events, Predicates: only}).Start(ctx, queue)
		})
	})
}

// noRights is an API server's word that a namespace's Secrets may not be read.
type noRights struct{ error }

func (e noRights) Unwrap() error { return e.error }

// get reads a Secret. Errors: noRights, not found, or what may pass.
func (s *source) get(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := s.reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, secret)
	if apierrors.IsForbidden(err) {
		return secret, noRights{err}
	}
	return secret, err
}

// lock makes an account one whose Secrets may not be read: it neither asks nor receives.
func (r *Registry) lock(account *Account) {
	message := fmt.Sprintf("the manager may not read the Secrets of namespace %s: ", account.Namespace)
	if len(r.namespaces) > 0 {
		message += "give it the Role of config/overlays/namespaced there"
	} else {
		message += "kubectl create rolebinding " + SecretsRole + " -n " + account.Namespace +
			" --clusterrole=" + SecretsRole + " --serviceaccount=" + managerAccount
	}
	account.Problem = &Problem{v1alpha1.ReasonSecretsForbidden, message}
	account.Unreadable = errors.New(message)
}

// locked reports whether the account's Secrets may not be read.
func (a *Account) locked() bool {
	return a.Problem != nil && a.Problem.Reason == v1alpha1.ReasonSecretsForbidden
}

// lockedToo is an account whose Secrets may not be read any more. It goes on receiving by what
// was read before: an API server that has just started may know no rights yet. As if it were
// restored it refuses nothing for good, for its Secrets may have changed since.
func (a *Account) lockedToo(why *Problem) *Account {
	kept := *a
	kept.Client, kept.Problem, kept.Restored = nil, why, true
	return &kept
}
