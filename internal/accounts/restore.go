package accounts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// copyEvery is the shortest time between two writes of the copy.
	copyEvery = time.Second
	// lastCopyRetry bounds the pause after a write of the copy that failed.
	lastCopyRetry = time.Minute
)

// source is where the Secrets of one account come from, and remembers what was taken.
type source struct {
	sealing.Hidden

	reader client.Reader
	writer client.Writer
	taken  map[string]map[string][]byte
}

// take notes keys of a Secret as what the account is made from.
func (s *source) take(secret *corev1.Secret, keys ...string) {
	for _, key := range keys {
		value, there := secret.Data[key]
		if !there {
			continue
		}
		if s.taken == nil {
			s.taken = map[string]map[string][]byte{}
		}
		if s.taken[secret.Name] == nil {
			s.taken[secret.Name] = map[string][]byte{}
		}
		s.taken[secret.Name][key] = value
	}
}

// originOf is what a Channel's account was made from. The identity stays out of it, whatever
// Secret it was taken from: to seal it takes the recipients.
func originOf(channel *v1alpha1.Channel, account *Account, from *source) *origin {
	o := &origin{Namespace: channel.Namespace, Name: channel.Name, UID: channel.UID, Created: channel.CreationTimestamp,
		Spec: *channel.Spec.DeepCopy(), Secrets: from.taken}
	if account.Sealer != nil {
		o.Recipients = account.Sealer.Recipients()
	}
	for _, secret := range o.Secrets {
		delete(secret, identityKey)
	}
	return o
}

// channel is the Channel, with the recipients that were sealed for: the identity is not there.
func (o *origin) channel() *v1alpha1.Channel {
	channel := &v1alpha1.Channel{Spec: *o.Spec.DeepCopy(), ObjectMeta: metav1.ObjectMeta{
		Namespace: o.Namespace, Name: o.Name, UID: o.UID, CreationTimestamp: o.Created}}
	if len(o.Recipients) > 0 {
		channel.Spec.Sealing.Recipients = o.Recipients
	}
	return channel
}

// Get reads a Secret as it was when the account was made.
func (o *origin) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	secret, is := into.(*corev1.Secret)
	if !is {
		return errRestoring
	}
	data, there := o.Secrets[key.Name]
	if key.Namespace != o.Namespace || !there {
		return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	}
	*secret = corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Data: data}
	if key.Name == SealingSecretName(o.Name) { // it was ours, or nothing of it would be here
		secret.Labels = map[string]string{v1alpha1.LabelChannel: o.Name}
	}
	return nil
}

// List lists nothing.
func (o *origin) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errRestoring
}

// noWriter is there while accounts are restored: keys that the copy does not have must not
// be made, for the API server may well have them.
type noWriter struct{ client.Writer }

var errRestoring = errors.New("not while accounts are restored from their copy")

func (noWriter) Create(context.Context, client.Object, ...client.CreateOption) error {
	return errRestoring
}

func (noWriter) Patch(context.Context, client.Object, client.Patch, ...client.PatchOption) error {
	return errRestoring
}

// Restore makes the accounts of the copy, if there is one. They receive until the API server
// has been asked; what is not among them is not known yet. It is to be called before Start,
// and asks the API server nothing.
func (r *Registry) Restore(ctx context.Context) {
	if r.copy == nil {
		return
	}
	log := ctrl.LoggerFrom(ctx).WithName("accounts")
	origins, err := r.copy.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		log.Info("there is no copy of the accounts yet: not receiving before the API server has given them")
		return
	case err != nil:
		log.Error(err, "the copy of the accounts is of no use: not receiving before the API server has given them")
		return
	}
	made := 0
	for i := range origins {
		if len(r.namespaces) > 0 && !slices.Contains(r.namespaces, origins[i].Namespace) {
			continue // no longer one of ours: it would never be forgotten
		}
		if err := r.restore(ctx, &origins[i]); err != nil {
			log.Error(err, "a Channel is not restored from the copy of the accounts")
			continue
		}
		made++
	}
	r.restored.Store(made > 0)
	log.Info("accounts are restored from their copy: receiving for these before the API server has given them", "channels", made)
}

// restore makes one account as Load does, of what it was made from before. One that cannot
// be made is not known yet.
func (r *Registry) restore(ctx context.Context, from *origin) error {
	channel := from.channel()
	r.announce(channel)
	account, err := r.build(ctx, channel, &source{reader: from, writer: noWriter{}})
	if account != nil {
		account.Restored = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byName[client.ObjectKeyFromObject(channel)]
	e.account, e.restored, e.origin = account, true, from
	if err != nil {
		return fmt.Errorf("restore Channel %s: %w", e.name, err)
	}
	return nil
}

// onlyRestored are the Channels that the API server has not given yet.
func (r *Registry) onlyRestored() []types.NamespacedName {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var names []types.NamespacedName
	for name, e := range r.byName {
		if e.restored {
			names = append(names, name)
		}
	}
	return names
}

// noteChange has the copy looked at.
func (r *Registry) noteChange() {
	select {
	case r.changed <- struct{}{}:
	default: // it is to be looked at anyway
	}
}

// keepCopy keeps the copy as what is known, until the context ends; then once more.
func (r *Registry) keepCopy(ctx context.Context) {
	if r.copy == nil {
		<-ctx.Done()
		return
	}
	defer func() { _ = r.writeCopy(ctx) }()
	for pause := copyEvery; ; {
		err := r.writeCopy(ctx)
		if !comes(ctx, time.After(pause)) {
			return
		}
		if err != nil {
			pause = min(2*pause, lastCopyRetry)
			continue
		}
		pause = copyEvery
		if !comes(ctx, r.changed) {
			return
		}
	}
}

func (r *Registry) writeCopy(ctx context.Context) error {
	err := r.copy.write(r.origins())
	if err != nil {
		ctrl.LoggerFrom(ctx).WithName("accounts").Error(err, "a start while the API server is away would not know the accounts as they are")
	}
	return err
}

// comes reports whether what is waited for came before the context ended.
func comes[T any](ctx context.Context, c <-chan T) bool {
	select {
	case <-ctx.Done():
		return false
	case <-c:
		return true
	}
}

// origins are what all accounts were made from, in the order of their Channels' names. Of a
// Channel that was never loaded it is whose the account is.
func (r *Registry) origins() []origin {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]origin, 0, len(r.byName))
	for name, e := range r.byName {
		if e.origin != nil {
			all = append(all, *e.origin)
			continue
		}
		all = append(all, origin{Namespace: name.Namespace, Name: name.Name, Created: metav1.NewTime(e.created),
			Spec: v1alpha1.ChannelSpec{Platform: e.id.platform, Account: e.id.id}})
	}
	slices.SortFunc(all, func(a, b origin) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}
