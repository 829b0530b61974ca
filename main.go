// Command manager receives the platforms' pushes and keeps Channels, ProductSyncs and
// OrderVouchers true. This file is flags and wiring: the one place that names the
// platforms.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	managerconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/controllers"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/apierror"
	"github.com/laidoulaile/channel-operator/internal/journal"
	"github.com/laidoulaile/channel-operator/internal/ledger"
	"github.com/laidoulaile/channel-operator/internal/panics"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/douyin"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

// version is set when the binary is linked.
var version = "dev"

// adapters are the platforms this manager speaks.
var adapters = map[v1alpha1.Platform]platform.Adapter{
	v1alpha1.PlatformFliggy: fliggy.Adapter{},
	v1alpha1.PlatformDouyin: douyin.Adapter{},
	v1alpha1.PlatformSCTT:   sctt.Adapter{},
}

// shutdownTimeout is how long everything gets to finish, the accepted pushes first.
const shutdownTimeout = 25 * time.Second

// mostVerbose is how verbose the log may be: from 8 on, the client logs what it writes to the
// API server and reads there, Secrets too.
const mostVerbose = 7

// options are the flags.
type options struct {
	pushAddress, metricsAddress, probeAddress string
	metricsSecure                             bool
	metricsCertPath                           string
	journalDir, keyDir                        string
	maxDrainTime                              time.Duration
	leaderElect                               bool
	leaderElectNamespace                      string
	allowPrivate                              bool
	requireProof                              bool
	deniedCIDRs, trustedProxies               string
	watchNamespaces                           string
	workers                                   int
	log                                       zap.Options
}

func main() {
	o := parse(flag.CommandLine)
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		ctrl.Log.Error(err, "manager ended")
		os.Exit(1)
	}
}

func parse(flags *flag.FlagSet) options {
	var o options
	flags.StringVar(&o.pushAddress, "push-bind-address", ":8080", "Address on which platforms' pushes are received, behind the ingress.")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8081", "Address of /metrics; 0 turns it off.")
	flags.BoolVar(&o.metricsSecure, "metrics-secure", true, "Serve /metrics over TLS to authenticated and authorised callers only.")
	flags.StringVar(&o.metricsCertPath, "metrics-cert-path", "", "Folder with tls.crt and tls.key for /metrics; empty: a self-signed pair.")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", ":8082", "Address of /healthz and /readyz.")
	flags.StringVar(&o.journalDir, "journal-dir", "", "Folder for the journal: what cannot be written to the API server at once is kept there, and acknowledged. Empty: there is none, and such pushes are to be sent again.")
	flags.DurationVar(&o.maxDrainTime, "max-drain-time", 15*time.Minute, "How long it may take to write what the journal keeps: what would make it longer, or is more than its Channel's share, is to be sent again. 0: no bound.")
	flags.StringVar(&o.keyDir, "key-dir", "", "Folder for the key that the copy of the accounts in --journal-dir is sealed with: one that is gone when the machine is. Empty: --journal-dir itself.")
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "Let only one of several replicas run the controllers; every replica receives.")
	flags.StringVar(&o.leaderElectNamespace, "leader-elect-namespace", "", "Namespace of the lease; empty: the manager's own.")
	flags.BoolVar(&o.allowPrivate, "allow-private-endpoints", false, "Let Channels' endpoints be plain http and private addresses. For local stacks.")
	flags.StringVar(&o.deniedCIDRs, "denied-cidrs", "", "CIDRs that no Channel's endpoint may lead to, separated by commas: those of the cluster, where its pods or services have global addresses.")
	flags.BoolVar(&o.requireProof, "require-proof", false, "Accept no pushes of a Channel whose platform signs none and that has neither a token nor CIDRs, unless it sets spec.receive.acceptUnproven.")
	flags.StringVar(&o.trustedProxies, "trusted-proxies", "", "CIDRs of the proxies in front, separated by commas: behind them, and only behind them, X-Forwarded-For says whom a push comes from.")
	flags.StringVar(&o.watchNamespaces, "watch-namespaces", "", "Namespaces that Channels are in, separated by commas: nothing is read or written in any other. Empty: all.")
	flags.IntVar(&o.workers, "workers", 16, "How many products, and how many orders, are looked at at a time.")
	o.log.BindFlags(flags)
	_ = flags.Parse(os.Args[1:]) // ExitOnError: it does not return an error
	if o.log.Level != nil && o.log.Level.Enabled(-mostVerbose-1) {
		_ = flags.Set("zap-log-level", strconv.Itoa(mostVerbose)) // a number is a level
	}
	return o
}

func run(ctx context.Context, o options) error {
	ctrl.SetLogger(newLogger(&o.log))
	proxies, err := parsePrefixes("trusted-proxies", o.trustedProxies)
	if err = errors.Join(err, checkNamespaces(o.namespaces())); err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the API server (--kubeconfig, or in the cluster): %w", err)
	}
	// Receiving must not queue behind a client-side limit: the API server's own fairness limits us.
	config.QPS = -1
	managerOptions := managerOptions(o)
	managerOptions.NewCache = newCacheUntil(ctx)
	mgr, err := ctrl.NewManager(terse(config), managerOptions)
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	kept, err := openJournal(ctrl.Log, o.journalDir)
	if err != nil {
		return err
	}
	defer closeJournal(kept)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.pushAddress)
	if err != nil {
		return fmt.Errorf("--push-bind-address: %w", err)
	}
	server, err := assemble(ctx, mgr, config, o, listener, proxies, kept)
	if err != nil {
		_ = listener.Close()
		return err
	}
	ctrl.Log.Info("starting", "version", version)
	// A manager that lost its lease waits for nobody; the journal is there until all are answered.
	return errors.Join(mgr.Start(ctx), webhookserver.Finish(server))
}

// newLogger makes the logger of the whole process: what it logs of an API server's errors has no values.
func newLogger(o *zap.Options) logr.Logger { return apierror.Logger(zap.New(zap.UseFlagOptions(o))) }

// openJournal opens the journal, if there is to be one.
func openJournal(log logr.Logger, dir string) (*journal.Journal, error) {
	if dir == "" {
		return nil, nil
	}
	opened, err := journal.Open(journal.Options{Dir: dir})
	if err != nil {
		return nil, fmt.Errorf("--journal-dir %s: %w", dir, err)
	}
	if opened.Stats().Torn {
		log.Info("one of the two headers of the journal could not be read, and the other was taken: if the process or the node "+
			"crashed in the midst of a write, nothing is lost; else look at the disk, for the last pushes may be missing from the journal, "+
			"or be written twice, which changes nothing", "dir", dir)
	}
	return opened, nil
}

// openCopy opens the copy of the accounts, if there is to be one. Without it the manager
// receives all the same, as long as the API server answers when it starts.
func openCopy(o options) *accounts.Copy {
	if o.journalDir == "" {
		return nil
	}
	opened, err := accounts.OpenCopy(o.journalDir, cmp.Or(o.keyDir, o.journalDir))
	if err != nil {
		ctrl.Log.Error(err, "no copy of the accounts is kept: a start while the API server is away cannot receive")
		return nil
	}
	return opened
}

// closeJournal when nothing is received any more.
func closeJournal(kept *journal.Journal) {
	if kept == nil {
		return
	}
	if err := kept.Close(); err != nil {
		ctrl.Log.Error(err, "close the journal")
	}
}

func managerOptions(o options) ctrl.Options {
	metricsOptions := metricsserver.Options{BindAddress: o.metricsAddress, SecureServing: o.metricsSecure, CertDir: o.metricsCertPath}
	metricsOptions.TLSOpts = []func(*tls.Config){func(config *tls.Config) { config.MinVersion = tls.VersionTLS12 }}
	if o.metricsSecure {
		metricsOptions.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	cached := controllers.CacheOptions()
	for _, namespace := range o.namespaces() {
		if cached.DefaultNamespaces == nil {
			cached.DefaultNamespaces = map[string]cache.Config{}
		}
		cached.DefaultNamespaces[namespace] = cache.Config{}
	}
	return ctrl.Options{
		Scheme:                        newScheme(),
		MapperProvider:                mapper,
		Metrics:                       metricsOptions,
		HealthProbeBindAddress:        o.probeAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              "channel-operator." + v1alpha1.GroupName,
		LeaderElectionNamespace:       o.leaderElectNamespace,
		LeaderElectionReleaseOnCancel: true, // the process ends right after
		LeaseDuration:                 ptr.To(leaseDuration),
		RenewDeadline:                 ptr.To(longestPause),
		RetryPeriod:                   ptr.To(leaseRetry),
		GracefulShutdownTimeout:       ptr.To(shutdownTimeout),
		Cache:                         cached,
		Controller:                    managerconfig.Controller{CacheSyncTimeout: cacheSyncTimeout},
		Client: client.Options{Cache: &client.CacheOptions{
			// A look builds on the status that the look before wrote: from a cache that does not
			// show it yet, what was just learned would be taken back.
			EnableReadYourWritesConsistency: ptr.To(true),
			// Secrets are read from the API server when they are needed; only their metadata is watched.
			DisableFor: []client.Object{&corev1.Secret{}},
		}},
	}
}

// assemble wires accounts, ledger, push server and controllers into the manager.
func assemble(ctx context.Context, mgr ctrl.Manager, config *rest.Config, o options, listener net.Listener, proxies []netip.Prefix, kept *journal.Journal) (*manager.Server, error) {
	denied, err := parsePrefixes("denied-cidrs", o.deniedCIDRs)
	if err != nil {
		return nil, err
	}
	direct, err := ledger.NewClient(apart(config), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("make the ledger's client: %w", err)
	}
	book := ledger.New(direct, mgr.GetCache(), kept)
	book.LimitDrainTime(o.maxDrainTime)
	book.Events = mgr.GetEventRecorder("channel-operator")
	registry := accounts.NewRegistry(accounts.Options{
		Adapters: adapters, Channels: mgr.GetClient(), Secrets: mgr.GetAPIReader(), Writer: direct,
		RoundTripper: platform.NewRoundTripper(o.allowPrivate, denied...), AllowPrivate: o.allowPrivate, RequireProof: o.requireProof, ProxiesTell: len(proxies) > 0,
		Copy: openCopy(o), Namespaces: o.namespaces(),
	})
	registry.Restore(ctx)
	receivers := map[v1alpha1.Platform]platform.Receiver{}
	for name, adapter := range adapters {
		receivers[name] = adapter
	}
	server := webhookserver.New(webhookserver.Options{
		Listener: listener, Receivers: receivers, Accounts: registry, Recorder: book, TrustedProxies: proxies,
	})
	metrics.Registry.MustRegister(platform.Collectors()...)
	metrics.Registry.MustRegister(webhookserver.Collectors()...)
	metrics.Registry.MustRegister(controllers.Collectors()...)
	metrics.Registry.MustRegister(panics.Collectors()...)
	metrics.Registry.MustRegister(book.Collectors()...)
	return server, errors.Join(
		registry.SetupWithManager(mgr),
		mgr.Add(book),
		book.Watch(ctx, mgr.GetCache()),
		mgr.Add(server),
		addControllers(ctx, mgr, registry, book, o),
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("accounts", func(*http.Request) error {
			if !registry.Ready() {
				return accounts.ErrNotKnownYet
			}
			return nil
		}),
	)
}

// cacheSyncTimeout is how long the caches may take to fill. An API server that has just started
// reads a hundred thousand products from etcd for minutes first; to end before would only have
// it begin again.
const cacheSyncTimeout = 15 * time.Minute

// apart is the same API server over connections of its own: what a platform waits for does not
// queue behind watches and lists. Each write has one to itself (HTTP/1.1): many short requests
// cost both sides less so than as streams of one connection.
func apart(config *rest.Config) *rest.Config {
	own := rest.CopyConfig(config)
	own.NextProtos = []string{"http/1.1"}
	// Connections are shared among those who dial in the same way.
	own.Dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	return own
}

func addControllers(ctx context.Context, mgr ctrl.Manager, registry *accounts.Registry, book *ledger.Ledger, o options) error {
	all, err := reconcilers(mgr, registry, book, o)
	err = errors.Join(err, controllers.AddIndexes(ctx, mgr.GetFieldIndexer()), ledger.AddIndexes(ctx, mgr.GetFieldIndexer()))
	for _, one := range all {
		err = errors.Join(err, one.SetupWithManager(mgr))
	}
	return err
}

// reconciler is a controller that is not in a manager yet.
type reconciler interface{ SetupWithManager(mgr ctrl.Manager) error }

// reconcilers of the three kinds, all of which write as statusClient lets them.
func reconcilers(mgr ctrl.Manager, registry *accounts.Registry, book *ledger.Ledger, o options) ([]reconciler, error) {
	events := mgr.GetEventRecorder("channel-operator")
	doubts := make(chan event.GenericEvent, 64)
	doubt := func(channel types.NamespacedName) {
		object := &v1alpha1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: channel.Namespace, Name: channel.Name}}
		select {
		case doubts <- event.GenericEvent{Object: object}:
		default: // enough doubts are waiting: the Channel is looked at anyway
		}
	}
	statuses, leads, err := statusClient(mgr, o.leaderElect)
	return []reconciler{
		&controllers.ChannelReconciler{Client: statuses, Events: events, Accounts: registry, Discoverer: book,
			PushPath: webhookserver.WebhookPath, Now: time.Now, Doubts: doubts, Unknown: book},
		&controllers.ProductSyncReconciler{Client: statuses, Events: events, Accounts: registry,
			Doubt: doubt, Kept: book.Keeps, Workers: o.workers, Now: time.Now},
		&controllers.OrderVoucherReconciler{Client: statuses, Events: events, Accounts: registry,
			Doubt: doubt, Kept: book.Keeps, Leads: leads, Workers: o.workers, Now: time.Now},
	}, err
}

// namespaces that Channels are in; none: all.
func (o options) namespaces() []string { return items(o.watchNamespaces) }

func checkNamespaces(names []string) error {
	for _, name := range names {
		if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
			return fmt.Errorf("--watch-namespaces: %q: %s", name, strings.Join(wrong, ", "))
		}
	}
	return nil
}

// items of a list with commas.
func items(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func parsePrefixes(flag, list string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, text := range items(list) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		if prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("--%s: %s: write an IPv4 network as such", flag, prefix)
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, nil
}
