package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	ac "github.com/laidoulaile/channel-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/apierror"
	"github.com/laidoulaile/channel-operator/internal/conditions"
	"github.com/laidoulaile/channel-operator/internal/panics"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// defaultResync of products and catalogues.
	defaultResync = 6 * time.Hour
	// checkEvery is how often a working account is checked with one cheap call.
	checkEvery = 10 * time.Minute
	// stalledCheckEvery is how often an account is checked that the platform refuses:
	// what was wrong may be mended on the platform's side.
	stalledCheckEvery = 5 * time.Minute
	// forbiddenCheckEvery is how often it is tried whether the Secrets may be read by now.
	forbiddenCheckEvery = 10 * time.Second
	// discoveryTimeout bounds one listing of a catalogue.
	discoveryTimeout = 10 * time.Minute
	// discoveryPatience is how long a page waits for the account's turn: a listing that
	// gave way would start over.
	discoveryPatience = 30 * time.Second
	// noticesGap is between looks that ask about notices, as long as some are left.
	noticesGap = 2 * time.Second
)

// Discoverer makes the objects of listed products; *ledger.Ledger does.
type Discoverer interface {
	EnsureProduct(ctx context.Context, account *accounts.Account, productID string) (made bool, err error)
}

// ChannelReconciler keeps the status of Channels: whether the account works, what to
// register with the platform, and how large the catalogue is.
type ChannelReconciler struct {
	client.Client
	Events     recorder.EventRecorder
	Accounts   *accounts.Registry
	Discoverer Discoverer
	// PushPath is the path of a platform's pushes that name their account.
	PushPath func(v1alpha1.Platform, string) string
	Now      func() time.Time
	// Doubts are Channels whose account somebody else saw refused: they are checked now.
	Doubts <-chan event.GenericEvent
	// Unknown counts what only unproven pushes named; nil: nothing is said of it.
	Unknown Unknowns

	looks        *looks
	unknownEvery time.Duration
	// outdated are Channels that do not say what Unknown counts now.
	outdated chan event.GenericEvent
}

// seenChannel is what one look at a Channel saw.
type seenChannel struct {
	account *accounts.Account
	loadErr error
	// checked and checkErr: the account was asked, and what it said.
	checked  bool
	checkErr error
	// inquiries are answers about notices; moreNotices: others can be asked about at once.
	inquiries   []v1alpha1.ChannelInquiry
	moreNotices bool
	// listed is how many products the catalogue has; nil if it was not listed.
	listed  *int64
	listErr error
	// unknown is what only unproven pushes named; nil if that was not counted.
	unknown *unknownCount
}

// SetupWithManager registers the controller.
func (r *ChannelReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.looks = newLooks(r.Now())
	r.unknownEvery, r.outdated = cmp.Or(r.unknownEvery, unknownEvery), make(chan event.GenericEvent)
	if err := mgr.Add(manager.RunnableFunc(r.watchUnknown)); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("channel").
		For(&v1alpha1.Channel{}, builder.WithPredicates(predicate.Or(asked(), r.noticed()))).
		Watches(&v1alpha1.Channel{}, handler.EnqueueRequestsFromMapFunc(r.rivals), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Accounts.SecretEvents(accounts.SecretHandler(mgr.GetClient()))).
		WatchesRawSource(source.Channel(r.Doubts, &handler.EnqueueRequestForObject{})).
		WatchesRawSource(source.Channel(r.outdated, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, ReconciliationTimeout: discoveryTimeout + time.Minute}).
		Complete(panics.Reconciler("channel", r))
}

// rivals wakes the Channels that claim the same account as one that came or went.
func (r *ChannelReconciler) rivals(ctx context.Context, object client.Object) []reconcile.Request {
	changed, ok := object.(*v1alpha1.Channel)
	var list v1alpha1.ChannelList
	if !ok || r.List(ctx, &list) != nil {
		return nil
	}
	var requests []reconcile.Request
	for _, other := range list.Items {
		if other.Spec.Platform == changed.Spec.Platform && other.Spec.Account == changed.Spec.Account && other.UID != changed.UID {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&other)})
		}
	}
	return requests
}

// Reconcile observes, decides, records.
func (r *ChannelReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var channel v1alpha1.Channel
	if err := r.Get(ctx, request.NamespacedName, &channel); apierrors.IsNotFound(err) {
		r.Accounts.Forget(request.NamespacedName)
		r.looks.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	seen := r.observe(ctx, &channel)
	status, next := decideChannel(&channel, seen, r.pushURLs(&channel, seen.account), r.Now())
	if err := r.record(ctx, &channel, status); err != nil {
		return ctrl.Result{}, err
	}
	return r.looks.result(request.NamespacedName, next), nil
}

// observe loads the account, checks it, asks about notices and lists its catalogue, as far
// as each is due.
func (r *ChannelReconciler) observe(ctx context.Context, channel *v1alpha1.Channel) seenChannel {
	key := client.ObjectKeyFromObject(channel)
	seen := seenChannel{loadErr: r.Accounts.Load(ctx, channel), unknown: r.countUnknown(key)}
	seen.account = r.Accounts.Asking(key)
	if seen.loadErr != nil || seen.account == nil || seen.account.Problem != nil || seen.account.Suspended {
		return seen
	}
	seen.checked = true
	if seen.checkErr = seen.account.Client.Check(ctx); seen.checkErr != nil {
		return seen
	}
	seen.inquiries, seen.moreNotices = inquire(ctx, channel, seen.account)
	if !r.discoveryDue(channel) {
		return seen
	}
	seen.listed, seen.listErr = r.discover(ctx, seen.account)
	if seen.listErr == nil {
		r.looks.answeredNow(key, r.Now())
	}
	return seen
}

func (r *ChannelReconciler) discoveryDue(channel *v1alpha1.Channel) bool {
	if !channel.Spec.Products.Discover {
		return false
	}
	if channel.Status.Catalogue == nil || requested(channel.Annotations, channel.Status.LastHandledRequestedAt) {
		return true
	}
	due := r.looks.due(client.ObjectKeyFromObject(channel), channel.Status.Catalogue.ListedAt.Time, every(resyncOf(channel, nil)))
	return !r.Now().Before(due)
}

// discover lists the catalogue and makes the missing objects: it repairs pushes that
// never came.
func (r *ChannelReconciler) discover(ctx context.Context, account *accounts.Account) (*int64, error) {
	products, ok := account.Client.(platform.ProductClient)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(platform.WithPatience(ctx, discoveryPatience), discoveryTimeout)
	defer cancel()
	var count int64
	var failed error
	err := products.ListProducts(ctx, func(page []platform.ListedProduct) bool {
		for _, listed := range page {
			count++
			if failed = r.ensure(ctx, account, listed.ID); failed != nil {
				return false
			}
		}
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	return &count, nil
}

// ensure asks the cache first: most listed products are there.
func (r *ChannelReconciler) ensure(ctx context.Context, account *accounts.Account, productID string) error {
	var known v1alpha1.ProductSyncList
	err := r.List(ctx, &known, client.InNamespace(account.Namespace), client.MatchingFields{indexProduct: account.Name + "/" + productID},
		client.DisableReadYourWritesConsistency) // that it is there is enough
	if err == nil && len(known.Items) > 0 {
		return nil
	}
	_, err = r.Discoverer.EnsureProduct(ctx, account, productID)
	return err
}

// pushURLs are the paths to register with the platform.
func (r *ChannelReconciler) pushURLs(channel *v1alpha1.Channel, account *accounts.Account) []string {
	if account == nil || account.Receiver == nil {
		return nil
	}
	var common, own []string
	for _, tail := range account.Receiver.Paths() {
		common = append(common, r.PushPath(channel.Spec.Platform, tail))
		own = append(own, fmt.Sprintf("/api/channels/%s/%s/%s", channel.Namespace, channel.Name, tail))
	}
	return append(common, own...)
}

func resyncOf(channel *v1alpha1.Channel, own *metav1.Duration) time.Duration {
	switch {
	case own != nil:
		return own.Duration
	case channel != nil && channel.Spec.Products.ResyncInterval != nil:
		return channel.Spec.Products.ResyncInterval.Duration
	default:
		return defaultResync
	}
}

// decideChannel is pure: what was seen to the whole status, and when to look again.
func decideChannel(channel *v1alpha1.Channel, seen seenChannel, pushURLs []string, now time.Time) (v1alpha1.ChannelStatus, again) {
	status := *channel.Status.DeepCopy()
	status.Inquiries = inStep(status.Notices, status.Inquiries, seen.inquiries)
	if briefly(seen.checkErr) || briefly(seen.listErr) {
		return status, inAMoment
	}
	if pushURLs != nil {
		status.PushURLs = pushURLs
	}
	status.ObservedGeneration = channel.Generation
	verdict, next := channelVerdict(channel, seen)
	if seen.moreNotices {
		next = sooner(next, again{after: noticesGap})
	}
	if seen.checked && seen.checkErr == nil && seen.listErr == nil {
		status.LastHandledRequestedAt = cutRequest(channel.Annotations[v1alpha1.AnnotationRequestedAt])
	}
	if seen.listed != nil && (status.Catalogue == nil || status.Catalogue.Products != *seen.listed) {
		status.Catalogue = &v1alpha1.ChannelCatalogue{ListedAt: metav1.NewTime(now.UTC().Truncate(time.Second)), Products: *seen.listed}
	}
	status.Conditions = conditions.Set(status.Conditions, keepWords(channel.Status.Conditions, verdict), channel.Generation, now)
	status.Conditions = conditions.SetUnknownObjects(status.Conditions, unknownRisk(channel, seen.unknown), channel.Generation, now)
	return status, next
}

// maxLoadWords is how many characters are shown at most of why a Channel cannot be loaded.
const maxLoadWords = 512

func channelVerdict(channel *v1alpha1.Channel, seen seenChannel) (conditions.Verdict, again) {
	switch {
	case seen.loadErr != nil:
		return conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressingWithRetry,
			Message: "the API server does not give the Channel's Secrets: " + sealing.Cut(apierror.Plain(seen.loadErr).Error(), maxLoadWords)}, again{failing: true, urgent: true}
	case seen.account == nil:
		return conditions.Verdict{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressing}, again{after: time.Second, urgent: true}
	case seen.account.Problem != nil && seen.account.Problem.Reason == v1alpha1.ReasonSecretsForbidden:
		// Nothing tells that the rights were given.
		return conditions.Verdict{State: conditions.Stalled, Reason: seen.account.Problem.Reason, Message: seen.account.Problem.Message},
			again{after: forbiddenCheckEvery}
	case seen.account.Problem != nil:
		return conditions.Verdict{State: conditions.Stalled, Reason: seen.account.Problem.Reason, Message: seen.account.Problem.Message},
			again{after: stalledCheckEvery}
	case channel.Spec.Suspend:
		return conditions.Verdict{State: conditions.Waiting, Reason: v1alpha1.ReasonSuspended,
			Message: "suspended: pushes are received and recorded, nothing is asked"}, again{}
	case seen.checkErr != nil:
		return accountVerdict(seen.checkErr, "the account's check")
	case seen.listErr != nil:
		return accountVerdict(seen.listErr, "the catalogue")
	}
	return conditions.Verdict{State: conditions.Ready, Reason: v1alpha1.ReasonConnected, Message: "last call succeeded"},
		again{after: min(checkEvery, resyncOf(channel, nil))}
}

// accountVerdict is verdictOf for the account itself: what is refused here stalls it.
func accountVerdict(err error, subject string) (conditions.Verdict, again) {
	if platform.KindOf(err) == platform.Refused {
		return conditions.Verdict{State: conditions.Stalled, Reason: v1alpha1.ReasonCredentialsRefused, Message: fmt.Sprintf(
			"the platform refuses the account: %v; check the credentials Secret, the account id, the contract, and that our addresses are allowed", err),
		}, again{after: stalledCheckEvery}
	}
	return verdictOf(err, subject, stalledCheckEvery)
}

// record applies what the controller owns: the time of the last push, the credit, the
// notices and what is set aside are the receiving side's.
func (r *ChannelReconciler) record(ctx context.Context, channel *v1alpha1.Channel, next v1alpha1.ChannelStatus) error {
	if equality.Semantic.DeepEqual(channel.Status, next) {
		return nil
	}
	next.LastPushTime, next.Credit, next.Notices, next.SetAside = nil, nil, nil, nil
	status, err := toApply[ac.ChannelStatusApplyConfiguration](next)
	if err != nil {
		return err
	}
	return apply(ctx, r.Client, r.Events, channel, channel.Status.Conditions, next.Conditions,
		ac.Channel(channel.Name, channel.Namespace).WithStatus(status))
}
