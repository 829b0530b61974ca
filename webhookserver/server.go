// Package webhookserver receives the platforms' pushes over HTTP: it limits, routes to
// an account, checks the sender, has the fact recorded, and answers in the platform's
// dialect. It knows the platforms only through the boundary's Receiver, and nothing of
// controllers; what is recorded and how is the ledger's.
package webhookserver

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// Limits of the server. The platforms' own deadlines are 5 to 9 s; real pushes are a
// few KiB.
const (
	maxBody           = 256 << 10
	maxHeader         = 64 << 10
	maxChallenge      = 4 << 10 // that names no account; real ones are below 1 KiB
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 8 * time.Second
	writeTimeout      = 15 * time.Second
	idleTimeout       = 90 * time.Second
	// commitBudget is how long a push may take to become durable: below the shortest
	// deadline of a platform, so that it hears "retry" rather than nothing.
	commitBudget = 4 * time.Second
	// answerBudget is how long the answer to an inquiry may take: somebody waits for it.
	answerBudget = 2 * time.Second
	// shutdownTimeout is how long accepted pushes get to finish.
	shutdownTimeout = 15 * time.Second
)

// Accounts finds accounts; *accounts.Registry does.
type Accounts interface {
	ByAccount(v1alpha1.Platform, string) (*accounts.Account, error)
	ByName(types.NamespacedName) (*accounts.Account, error)
	// OnPlatform gives all accounts of a platform.
	OnPlatform(v1alpha1.Platform) ([]*accounts.Account, error)
}

// Recorder makes facts durable, and knows what was; *ledger.Ledger does.
type Recorder interface {
	Record(context.Context, *accounts.Account, platform.Push, []platform.Event) (platform.Outcome, error)
	// Commit is Record where the fact must be on its object, because it was answered.
	Commit(context.Context, *accounts.Account, platform.Push, []platform.Event) (platform.Outcome, error)
	// Look gives what must be known to answer an inquiry; a fresh look is at the API
	// server itself.
	Look(ctx context.Context, account *accounts.Account, lookup platform.Lookup, fresh bool) (platform.Known, error)
}

// Options of the server.
type Options struct {
	// Listener to serve on.
	Listener net.Listener
	// Receivers by platform.
	Receivers map[v1alpha1.Platform]platform.Receiver
	Accounts  Accounts
	Recorder  Recorder
	// TrustedProxies may say in X-Forwarded-For whom a push comes from.
	TrustedProxies []netip.Prefix

	// What follows is for tests; 0 is what there is otherwise.
	inHand                               int64
	headerTimeout, timeout, replyTimeout time.Duration
	firstUnit                            time.Duration
}

// New makes a server that the manager runs on every replica: it is started before the
// caches, so that pushes are received while the API server is away, and stopped after all
// that it needs, when the pushes it took in are answered. Only the manager's own type is
// treated so: embedded in another it would wait for the caches.
func New(o Options) *manager.Server {
	return &manager.Server{
		Name:            "push",
		Listener:        o.Listener,
		ShutdownTimeout: ptr.To(shutdownTimeout),
		Server: &http.Server{
			Handler:           NewHandler(o),
			ReadHeaderTimeout: cmp.Or(o.headerTimeout, readHeaderTimeout),
			ReadTimeout:       cmp.Or(o.timeout, readTimeout),
			WriteTimeout:      cmp.Or(o.replyTimeout, writeTimeout),
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			// Its lines are other people's broken connections, and would name their paths. A panic
			// does not get there: the handler tells it.
			ErrorLog: log.New(io.Discard, "", 0),
		},
	}
}

// Finish waits until the pushes that the server took in are answered, as long as they may
// take; nothing new is taken in. The manager does so itself, except when it lost its lease.
func Finish(server *manager.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := server.Server.Shutdown(ctx); err != nil {
		return fmt.Errorf("wait for the pushes under way: %w", err)
	}
	return nil
}
