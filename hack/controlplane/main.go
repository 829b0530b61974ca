// Controlplane runs a real Kubernetes API, etcd and kube-apiserver, on loopback for
// development, tests and benchmarks:
//
//	controlplane up --dir DIR [--assets DIR]   run it in the foreground until interrupted
//	controlplane assets [--dir DIR]            make its binaries if they are missing
//
// Everything that makes the cluster itself stays in DIR: data, ports, certificates
// and the admin's token. A restart on the same DIR is the same cluster at the same
// address, and DIR/kubeconfig stays as it is. That file is written when the API
// server is ready for the first time; "ready at" is printed every time. The children
// have their logs and process ids in DIR/{etcd,kube-apiserver}.{log,pid}.
//
// There is no controller manager and no scheduler: a deleted namespace stays
// Terminating, owner references are not collected, Deployments make no Pods.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage:
  controlplane up --dir DIR [--assets DIR]   run etcd and kube-apiserver in the foreground
  controlplane assets [--dir DIR]            make their binaries if they are missing
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// The first signal stops in order; a second one ends this process at once, and
	// the children with it.
	context.AfterFunc(ctx, stop)

	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	switch args[0] {
	case "up":
		return runUp(ctx, args[1:], out)
	case "assets":
		return runAssets(ctx, args[1:], out)
	case "help", "-h", "--help":
		fmt.Fprint(out, usage)
		return nil
	default:
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
}

func runUp(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of the cluster: data, ports, credentials, logs, kubeconfig")
	assetsDir := flags.String("assets", "", "directory with etcd and kube-apiserver (default: KUBEBUILDER_ASSETS, else bin/k8s, made if missing)")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("up: --dir is required")
	}
	binaries, err := findBinaries(ctx, *assetsDir, out)
	if err != nil {
		return err
	}
	return up(ctx, *dir, binaries, out)
}

// findBinaries takes a named directory as it is, and makes only the default one.
func findBinaries(ctx context.Context, dir string, out io.Writer) (string, error) {
	if dir != "" {
		return dir, checkComplete(dir)
	}
	return defaultAssets(ctx, "", out)
}

func runAssets(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("assets", flag.ContinueOnError)
	dir := flags.String("dir", "", "where the binaries are put (default bin/k8s of this module)")
	if err := parse(flags, args); err != nil {
		return err
	}
	binaries, err := defaultAssets(ctx, *dir, out)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "control-plane binaries:", binaries)
	return nil
}

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q", flags.Name(), flags.Arg(0))
	}
	return nil
}
