package accounts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// Defaults of spec.limits.
const (
	defaultRequestsPerSecond = 10
	defaultBurst             = 20
	defaultConcurrency       = 8
)

// DefaultMaxUnknown is spec.receive.unknownObjects.max where it is not set.
const DefaultMaxUnknown = 1000

// Options of a Registry.
type Options struct {
	// Adapters by platform: what this manager speaks.
	Adapters map[v1alpha1.Platform]platform.Adapter
	// Channels reads Channels from the cache.
	Channels client.Reader
	// Secrets reads Secrets from the API server itself: their contents are kept in no cache.
	Secrets client.Reader
	// Writer makes sealing Secrets.
	Writer client.Writer
	// RoundTripper carries all outbound calls.
	RoundTripper http.RoundTripper
	// AllowPrivate allows http:// endpoints.
	AllowPrivate bool
	// Namespaces are those that Channels are in; empty: any may have some.
	Namespaces []string
	// RequireProof refuses pushes whose sender nothing can prove, unless their Channel says that
	// it accepts them.
	RequireProof bool
	// ProxiesTell: pushes come by proxies that are declared, which tell the addresses of senders.
	ProxiesTell bool
	// Copy is where what is known is kept for a start without the API server; nil: nowhere.
	Copy *Copy
}

// Registry holds the accounts of all Channels.
type Registry struct {
	adapters     map[v1alpha1.Platform]platform.Adapter
	channels     client.Reader
	reader       client.Reader
	writer       client.Writer
	roundTripper http.RoundTripper
	allowPrivate bool
	requireProof bool
	proxiesTell  bool
	copy         *Copy
	namespaces   []string
	secrets      *secretWatch

	// ready: every Channel was tried. restored: the copy has given some.
	ready, restored atomic.Bool
	changed         chan struct{} // has one when the copy may be out of date

	mu      sync.RWMutex
	loading map[types.NamespacedName]*turn
	byName  map[types.NamespacedName]*entry
	byID    map[accountID]map[types.NamespacedName]*entry
}

// turn is whose turn it is to load a Channel: one load at a time.
type turn struct {
	sync.Mutex
	takers int // who has it, and who waits for it
}

type accountID struct {
	platform v1alpha1.Platform
	id       string
}

// entry is a Channel as far as it is known: its account is nil until it was loaded once.
type entry struct {
	sealing.Hidden

	name      types.NamespacedName
	id        accountID
	created   time.Time
	limits    v1alpha1.ChannelLimits
	transport *platform.Transport
	tokens    *accessTokens
	account   *Account
	// restored: the account was made from the copy, and the API server not asked yet.
	restored bool
	// origin is what the account was made from, for the copy.
	origin *origin
	// keys are the sealing Secret's, as last read.
	keys map[string][]byte
}

// NewRegistry makes an empty registry.
func NewRegistry(o Options) *Registry {
	return &Registry{
		adapters: o.Adapters, channels: o.Channels, reader: o.Secrets, writer: o.Writer,
		roundTripper: o.RoundTripper, allowPrivate: o.AllowPrivate, requireProof: o.RequireProof, proxiesTell: o.ProxiesTell, copy: o.Copy, namespaces: o.Namespaces,
		secrets: &secretWatch{namespaces: map[string]*watchedNamespace{}}, changed: make(chan struct{}, 1),
		loading: map[types.NamespacedName]*turn{},
		byName:  map[types.NamespacedName]*entry{}, byID: map[accountID]map[types.NamespacedName]*entry{},
	}
}

// ErrUnknown is returned for an account, or a Channel, that is certainly not there.
var ErrUnknown = errors.New("no Channel holds this account")

// ErrNotKnownYet is returned while it cannot be said whether an account is there.
var ErrNotKnownYet = errors.New("the Channels are not known yet")

// ByAccount finds the account that holds an id on a platform. Errors: ErrUnknown,
// ErrNotKnownYet, or why the account cannot receive now.
func (r *Registry) ByAccount(p v1alpha1.Platform, id string) (*Account, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.answer(r.holder(accountID{p, id}))
}

// ByName finds the account of a Channel that holds it. Errors as ByAccount's.
func (r *Registry) ByName(name types.NamespacedName) (*Account, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e := r.byName[name]
	if e != nil && r.holder(e.id) != e {
		e = nil // another Channel holds the account: this one receives nothing
	}
	return r.answer(e)
}

// OnPlatform gives all accounts of a platform that can receive. Error: ErrNotKnownYet.
func (r *Registry) OnPlatform(p v1alpha1.Platform) ([]*Account, error) {
	if !r.ready.Load() {
		return nil, ErrNotKnownYet
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	var all []*Account
	for id := range r.byID {
		if account, err := r.answer(r.holder(id)); id.platform == p && err == nil {
			all = append(all, account)
		}
	}
	return all, nil
}

func (r *Registry) answer(e *entry) (*Account, error) {
	switch {
	case e == nil && r.ready.Load():
		return nil, ErrUnknown
	case e == nil || e.account == nil:
		return nil, ErrNotKnownYet
	case e.account.Unreadable != nil:
		return e.account, e.account.Unreadable
	}
	return e.account, nil
}

// holder is the Channel that holds an account: the oldest that claims it, then the
// first by name, so that every replica agrees.
func (r *Registry) holder(id accountID) *entry {
	var first *entry
	for _, e := range r.byID[id] {
		if first == nil || e.before(first) {
			first = e
		}
	}
	return first
}

func (e *entry) before(other *entry) bool {
	if !e.created.Equal(other.created) {
		return e.created.Before(other.created)
	}
	return e.name.String() < other.name.String()
}

// Asking returns the account of a Channel for asking: also one that has a Problem.
// It is nil until the Channel was loaded; restored from the copy it only receives.
func (r *Registry) Asking(name types.NamespacedName) *Account {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e := r.byName[name]
	if e == nil || e.restored {
		return nil
	}
	if h := r.holder(e.id); h != e && e.account != nil {
		taken := *e.account
		taken.Client = nil
		taken.Problem = &Problem{v1alpha1.ReasonAccountTaken, fmt.Sprintf(
			"account %s on %s belongs to Channel %s already; delete one of the two", e.id.id, e.id.platform, h.name)}
		return &taken
	}
	return e.account
}

// Load reads a Channel's Secrets and makes its account. When they cannot be read it
// returns the error, and what was known stays known.
func (r *Registry) Load(ctx context.Context, channel *v1alpha1.Channel) error {
	name := client.ObjectKeyFromObject(channel)
	defer r.takeTurn(name)()

	channel = r.newest(ctx, channel)
	r.announce(channel)
	r.forgetGoneRivals(ctx, name)
	from := &source{reader: r.reader, writer: r.writer}
	account, err := r.build(ctx, channel, from)
	if err != nil {
		return fmt.Errorf("load Channel %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byName[name]
	switch {
	case e == nil:
	case account.locked() && e.receivesAs(channel):
		e.account, e.restored = e.account.lockedToo(account.Problem), false
	default:
		e.account, e.restored, e.origin = account, false, originOf(channel, account, from)
		r.noteChange()
	}
	return nil
}

// receivesAs reports whether pushes are received by what a Channel says now of receiving.
func (e *entry) receivesAs(channel *v1alpha1.Channel) bool {
	return e.account != nil && e.account.Unreadable == nil && e.origin != nil &&
		equality.Semantic.DeepEqual(receiving(e.origin.Spec), receiving(channel.Spec))
}

// receiving is a spec without what only asking heeds.
func receiving(spec v1alpha1.ChannelSpec) v1alpha1.ChannelSpec {
	spec.Endpoint, spec.Products, spec.Limits, spec.Suspend = "", v1alpha1.ChannelProducts{}, v1alpha1.ChannelLimits{}, false
	return spec
}

// takeTurn waits until no other load of the Channel is under way, and keeps others waiting
// until done is called. That the Channel is forgotten meanwhile changes nothing about it.
func (r *Registry) takeTurn(name types.NamespacedName) (done func()) {
	r.mu.Lock()
	own := r.loading[name]
	if own == nil {
		own = &turn{}
		r.loading[name] = own
	}
	own.takers++
	r.mu.Unlock()
	own.Lock()
	return func() {
		own.Unlock()
		r.mu.Lock()
		defer r.mu.Unlock()
		if own.takers--; own.takers == 0 {
			delete(r.loading, name)
		}
	}
}

// newest is the Channel as the cache has it by now, if that is another than was read before
// its turn came: whoever had the turn may have loaded that one, and it must not be undone.
func (r *Registry) newest(ctx context.Context, channel *v1alpha1.Channel) *v1alpha1.Channel {
	now := &v1alpha1.Channel{}
	err := r.channels.Get(ctx, client.ObjectKeyFromObject(channel), now)
	if err == nil && (now.UID != channel.UID || now.Generation > channel.Generation) {
		return now
	}
	return channel
}

// forgetGoneRivals drops Channels that claim the same account and were deleted, so that
// a Channel takes over the moment it is looked at.
func (r *Registry) forgetGoneRivals(ctx context.Context, name types.NamespacedName) {
	for _, rival := range r.rivals(name) {
		r.forgetGone(ctx, rival)
	}
}

func (r *Registry) forgetGone(ctx context.Context, name types.NamespacedName) {
	if err := r.channels.Get(ctx, name, &v1alpha1.Channel{}); apierrors.IsNotFound(err) {
		r.Forget(name)
	}
}

func (r *Registry) rivals(name types.NamespacedName) []types.NamespacedName {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var rivals []types.NamespacedName
	if e := r.byName[name]; e != nil {
		for other := range r.byID[e.id] {
			if other != name {
				rivals = append(rivals, other)
			}
		}
	}
	return rivals
}

// announce makes a Channel known before its Secrets are read, so that a push for it
// is never answered "unknown account".
func (r *Registry) announce(channel *v1alpha1.Channel) {
	name := client.ObjectKeyFromObject(channel)
	id := accountID{channel.Spec.Platform, channel.Spec.Account}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byName[name]
	if e == nil || e.id != id {
		r.forget(name)
		e = &entry{name: name, id: id}
		r.byName[name] = e
		if r.byID[id] == nil {
			r.byID[id] = map[types.NamespacedName]*entry{}
		}
		r.byID[id][name] = e
	}
	e.created = channel.CreationTimestamp.Time
	r.secrets.begin(name.Namespace)
}

// Forget drops a Channel that was deleted.
func (r *Registry) Forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(name)
	if !r.hasChannels(name.Namespace) {
		r.secrets.end(name.Namespace)
	}
	r.noteChange()
}

func (r *Registry) hasChannels(namespace string) bool {
	for name := range r.byName {
		if name.Namespace == namespace {
			return true
		}
	}
	return false
}

func (r *Registry) forget(name types.NamespacedName) {
	e := r.byName[name]
	if e == nil {
		return
	}
	delete(r.byName, name)
	delete(r.byID[e.id], name)
	if len(r.byID[e.id]) == 0 {
		delete(r.byID, e.id)
	}
}

// keys of a Channel's sealing Secret as last read by this process; nil if never.
func (r *Registry) keys(name types.NamespacedName) map[string][]byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if e := r.byName[name]; e != nil {
		return e.keys
	}
	return nil
}

func (r *Registry) rememberKeys(name types.NamespacedName, keys map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.byName[name]; e != nil {
		e.keys = maps.Clone(keys)
	}
}

// transport returns the way out of a Channel: the same one as long as its limits stay,
// so that a reload forgets neither what was spent nor that the platform is down.
func (r *Registry) transport(channel *v1alpha1.Channel) *platform.Transport {
	name := client.ObjectKeyFromObject(channel)
	limits := channel.Spec.Limits
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byName[name]
	if e != nil && e.transport != nil && equalLimits(e.limits, limits) {
		return e.transport
	}
	made := platform.NewTransport(name.String(), platform.Limits{
		RequestsPerSecond: int(ptr.Deref(limits.RequestsPerSecond, defaultRequestsPerSecond)),
		Burst:             int(ptr.Deref(limits.Burst, defaultBurst)),
		Concurrency:       int(ptr.Deref(limits.Concurrency, defaultConcurrency)),
	}, r.roundTripper)
	if e != nil {
		e.transport, e.limits = made, limits
	}
	return made
}

func equalLimits(a, b v1alpha1.ChannelLimits) bool {
	return ptr.Equal(a.RequestsPerSecond, b.RequestsPerSecond) && ptr.Equal(a.Burst, b.Burst) && ptr.Equal(a.Concurrency, b.Concurrency)
}

// lockedRetry is how soon an account is looked at again whose Secrets may not be read.
const lockedRetry = 5 * time.Second

// Reconcile keeps one Channel's account current, on every replica.
func (r *Registry) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var channel v1alpha1.Channel
	if err := r.channels.Get(ctx, request.NamespacedName, &channel); apierrors.IsNotFound(err) {
		r.Forget(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.Load(ctx, &channel); err != nil {
		return ctrl.Result{}, err
	}
	if account := r.Asking(request.NamespacedName); account != nil && account.locked() {
		return ctrl.Result{RequeueAfter: lockedRetry}, nil
	}
	return ctrl.Result{}, nil
}
