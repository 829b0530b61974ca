package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func newRotate(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate CHANNEL",
		Short: "Seal what is pushed from now on for a new identity",
		Long: `Seal what is pushed to a Channel from now on for a new identity.

A new identity is put above the others in the Secret <channel>-sealing. The first one seals,
and all of them open: what was sealed before can still be read. A Channel with recipients of
its own is rotated by changing spec.sealing.recipients.`,
		Example: "  kubectl channel rotate -n travel fliggy",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := connect(flags)
			if err != nil {
				return err
			}
			recipient, err := c.rotate(command.Context(), args[0])
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(streams.Out, "Pushes to Channel %s are now sealed for %s.\nTo seal anew what was sealed before: kubectl channel reseal -n %s %s\n",
				args[0], recipient, c.namespace, args[0])
			return nil
		},
	}
}

// rotate puts a new identity above the others and gives its recipient. It changes nothing
// that somebody else has changed in the meantime.
func (c *cluster) rotate(ctx context.Context, name string) (recipient string, err error) {
	channel := &v1alpha1.Channel{}
	if err := c.Get(ctx, c.key(name), channel); err != nil {
		return "", fmt.Errorf("read Channel %s: %w", c.key(name), err)
	}
	if len(channel.Spec.Sealing.Recipients) > 0 {
		return "", fmt.Errorf("the Channel %s is sealed for recipients of its own: put the new one into spec.sealing.recipients", c.key(name))
	}
	secret, err := c.sealingSecret(ctx, name)
	if err != nil {
		return "", err
	}
	identity, err := sealing.NewIdentity()
	if err != nil {
		return "", err
	}
	secret.Data[identityKey] = []byte(identity + "\n" + string(secret.Data[identityKey]))
	if err := c.Update(ctx, secret); err != nil {
		return "", fmt.Errorf("write Secret %s: %w", c.key(secret.Name), err)
	}
	return sealing.Recipient(identity)
}
