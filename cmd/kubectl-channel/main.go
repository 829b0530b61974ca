// Command kubectl-channel is a kubectl plugin for those who may open what the operator
// seals: it shows an order's voucher codes, and changes the keys. It speaks to the API server
// with the caller's own rights and has none of its own; it asks no platform.
//
// This file names the platforms, as the manager's does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/douyin"
	"github.com/laidoulaile/channel-operator/internal/platform/fliggy"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
)

// version is set when the binary is linked.
var version = "dev"

// adapters are the platforms whose bodies this plugin reads.
var adapters = map[v1alpha1.Platform]platform.Adapter{
	v1alpha1.PlatformFliggy: fliggy.Adapter{},
	v1alpha1.PlatformDouyin: douyin.Adapter{},
	v1alpha1.PlatformSCTT:   sctt.Adapter{},
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // nothing was shown or changed, or it ended before its end
	exitPartly = 2 // all was gone through, and some of it could not be done
)

// errPartly: each thing that could not be done has been told already.
var errPartly = errors.New("not everything could be done")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	stop()
	os.Exit(code)
}

// run runs one command line and gives its exit code.
func run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	command := newCommand(streams)
	command.SetArgs(args)
	err := command.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	_, _ = fmt.Fprintln(streams.ErrOut, "error:", visibleLines(err.Error()))
	if errors.Is(err, errPartly) {
		return exitPartly
	}
	return exitFailed
}

func newCommand(streams genericiooptions.IOStreams) *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true)
	command := &cobra.Command{
		Use:           "kubectl-channel",
		Short:         "Show the voucher codes that channel-operator seals, and change the keys they are sealed with",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl channel"},
	}
	command.SetIn(streams.In)
	command.SetOut(streams.Out)
	command.SetErr(streams.ErrOut)
	flags.AddFlags(command.PersistentFlags())
	command.AddCommand(newReveal(flags, streams), newRotate(flags, streams), newReseal(flags, streams))
	return command
}
