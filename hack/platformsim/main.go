// Command platformsim runs the fake platforms of internal/platform/platformtest in the
// foreground, for the local stack and for tests from outside. Each platform has its
// API at its own paths and its control handler under /admin/<platform>/, whose routes
// are in the comment of its Admin method. It listens on and pushes to loopback
// addresses only: the fakes hold keys and answer anybody.
//
//	platformsim --listen 127.0.0.1:0 --push-base http://127.0.0.1:8080 --fliggy-private-key-out key.txt --douyin-client-secret-out secret.txt --sctt-secret-out sctt.txt
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

// options are the flags.
type options struct {
	listen, addressFile string
	pushBase, pushToken string
	seedCatalogue       int
	fliggyAccount       string
	fliggyPrivateKeyOut string

	douyinClientKey, douyinAccount string
	douyinClientSecretOut          string
	douyinRetryScale               float64

	scttAccount, scttSecretOut, scttZone, scttChannelPath string
	scttSignature                                         platformtest.SCTTSignature

	logger *slog.Logger
}

// platforms are the fakes by the name of their control prefix. Each mounts itself on
// the mux: its API at the platform's own paths, its control at /admin/<name>/. What it
// does by itself ends with the context.
var platforms = map[string]func(context.Context, options, *http.ServeMux) error{
	"fliggy": mountFliggy,
	"douyin": mountDouyin,
	"sctt":   mountSCTT,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "platformsim:", err)
		os.Exit(1)
	}
}

// run serves until the context ends. It prints the address it listens on.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for name, mount := range platforms {
		if err := mount(ctx, o, mux); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	if o.addressFile != "" {
		if err := writeFile(o.addressFile, address+"\n", 0o644); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	_, _ = fmt.Fprintln(out, address)
	return serve(ctx, listener, mux)
}

// serve serves until the context ends; requests under way then have a second.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 90 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil {
		return server.Close()
	}
	return nil
}

func parse(args []string) (options, error) {
	var o options
	verbose := false
	flags := flag.NewFlagSet("platformsim", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback `host:port` to serve on; port 0 takes a free one")
	flags.StringVar(&o.addressFile, "address-file", "", "`file` to write the host:port to when ready")
	flags.StringVar(&o.pushBase, "push-base", "http://127.0.0.1:8080", "base `URL` of the webhook server, on loopback")
	flags.StringVar(&o.pushToken, "push-token", "", "`token` that pushes carry as ?token=")
	flags.IntVar(&o.seedCatalogue, "seed-catalogue", 0, "`number` of demo products to start with, the first is 88")
	flags.StringVar(&o.fliggyAccount, "fliggy-account", "20001", "Fliggy distributorId, a decimal `number`")
	flags.StringVar(&o.fliggyPrivateKeyOut, "fliggy-private-key-out", "", "`file` to write Fliggy's private key to (mode 0600)")
	flags.StringVar(&o.douyinClientKey, "douyin-client-key", platformtest.DouyinClientKey, "Douyin client_key, the app's `id`")
	flags.StringVar(&o.douyinAccount, "douyin-account", platformtest.DouyinAccountID, "Douyin account_id, the merchant's `id`")
	flags.StringVar(&o.douyinClientSecretOut, "douyin-client-secret-out", "", "`file` to write Douyin's client secret to (mode 0600)")
	flags.Float64Var(&o.douyinRetryScale, "douyin-retry-scale", 1, "`factor` on the pauses between Douyin's tries of an SPI call, which last up to an hour")
	rule := platformtest.DefaultSCTTSignature
	flags.StringVar(&o.scttAccount, "sctt-account", platformtest.SCTTAccount, "SCTT merchant_id, a decimal `number`")
	flags.StringVar(&o.scttSecretOut, "sctt-secret-out", "", "`file` to write SCTT's secret to (mode 0600)")
	flags.StringVar(&o.scttZone, "sctt-zone", "+08:00", "`distance` from UTC of SCTT's request_time")
	flags.StringVar(&o.scttChannelPath, "sctt-channel-path", "/api/channels/travel/sctt", "`path` behind the push base of the Channel that SCTT pushes to without naming the merchant")
	flags.StringVar(&o.scttSignature.Algorithm, "sctt-sign-algorithm", rule.Algorithm, "`algorithm` of SCTT's sign: MD5, SHA256 or HMACSHA256; its own is not known")
	flags.StringVar(&o.scttSignature.Encoding, "sctt-sign-encoding", rule.Encoding, "`encoding` of SCTT's sign: UpperHex, LowerHex or Base64")
	flags.StringVar(&o.scttSignature.Message, "sctt-sign-message", rule.Message, "`template` of what SCTT signs")
	flags.BoolVar(&verbose, "v", false, "log every call and push to stderr")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.logger = slog.New(slog.DiscardHandler)
	if verbose {
		o.logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, errors.Join(loopbackAddress(o.listen), loopbackURL(o.pushBase))
}
