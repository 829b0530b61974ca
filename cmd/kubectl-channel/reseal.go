package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// pageSize is how many orders' names are listed at a time.
	pageSize = 500
	// progressEvery is after how many orders a word is said of how far it is.
	progressEvery = 100
	// tries is how often an object is looked at anew that changes under our hands.
	tries = 5
)

// resealer is one call of reseal.
type resealer struct {
	*cluster
	genericiooptions.IOStreams
	identity string
	// named are the recipients to seal for though their identity is not at hand.
	named  []string
	dryRun bool
	rate   float64

	keys       keys
	recipients []string
	limit      *rate.Limiter
	// What became of the bodies.
	sealed, current, failed int
}

func newReseal(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	r := &resealer{IOStreams: streams}
	command := &cobra.Command{
		Use:   "reseal CHANNEL",
		Short: "Seal anew, for whom the Channel is sealed now, what was sealed before",
		Long: `Open what is sealed on a Channel and its orders, and seal it anew for those whom the Channel is
sealed for now: spec.sealing.recipients or, without any, the first identity of the Secret
<channel>-sealing. It says who they are, and refuses where the identity of one is not at hand: who
may write the Channel, or make its Secret, could have put in a recipient of their own. With
--identity only those of the file count as at hand; the Secret's then only open. --recipient names
those that are meant all the same.

What is known to be sealed for these alone is left as it is. So it may be stopped, and called
again, at any time. To the operator each order that is written is one with news: it asks the
platform about it again, once. --rate says how fast.`,
		Example: `  kubectl channel reseal -n travel fliggy --dry-run
  kubectl channel reseal -n travel fliggy --identity keys.txt
  kubectl channel reseal -n travel fliggy --identity keys.txt --recipient age1…`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) (err error) {
			if r.rate <= 0 {
				return errors.New("--rate must be more than 0")
			}
			if r.cluster, err = connect(flags); err != nil {
				return err
			}
			return r.channel(command.Context(), args[0])
		},
	}
	command.Flags().StringVar(&r.identity, "identity", "", "File with age identities that open what was sealed before, one a line; - is standard input. The Secret's are taken as well, to open with, where it may be read.")
	command.Flags().BoolVar(&r.dryRun, "dry-run", false, "Open everything, write nothing, and say what would be done.")
	command.Flags().StringArrayVar(&r.named, "recipient", nil, "A recipient (age1…) of the Channel's to seal for though its identity is not at hand. May be given several times.")
	command.Flags().Float64Var(&r.rate, "rate", 5, "How many objects are written in a second, at most.")
	return command
}

func (r *resealer) channel(ctx context.Context, name string) error {
	channel := &v1alpha1.Channel{}
	if err := r.Get(ctx, r.key(name), channel); err != nil {
		return fmt.Errorf("read Channel %s: %w", r.key(name), err)
	}
	var err error
	if r.keys, err = r.readKeys(ctx, name, r.identity, r.In); err != nil {
		return err
	}
	if r.recipients, err = r.currentRecipients(ctx, channel); err != nil {
		return err
	}
	if err := r.checkRecipients(name); err != nil {
		return err
	}
	orders, err := r.orders(ctx, name)
	if err != nil {
		return err
	}
	r.limit = rate.NewLimiter(rate.Limit(r.rate), 1)
	if err := r.object(ctx, &v1alpha1.Channel{}, name); err != nil {
		return err
	}
	for i, order := range orders {
		if err := r.object(ctx, &v1alpha1.OrderVoucher{}, order); err != nil {
			return err
		}
		if (i+1)%progressEvery == 0 {
			_, _ = fmt.Fprintf(r.ErrOut, "%d of %d orders\n", i+1, len(orders))
			if err := r.stillFor(ctx, name); err != nil {
				return err
			}
		}
	}
	return errors.Join(r.summary(len(orders)), partly(r.stillFor(ctx, name)))
}

// stillFor is an error where the Channel is sealed for others than when this call began: what
// it has sealed is then not for them.
func (r *resealer) stillFor(ctx context.Context, name string) error {
	channel := &v1alpha1.Channel{}
	if err := r.Get(ctx, r.key(name), channel); err != nil {
		return fmt.Errorf("look whether Channel %s is still sealed for the same: %w", r.key(name), err)
	}
	now, err := r.currentRecipients(ctx, channel)
	if err != nil {
		return fmt.Errorf("look whether Channel %s is still sealed for the same: %w", r.key(name), err)
	}
	if !slices.Equal(slices.Sorted(slices.Values(now)), slices.Sorted(slices.Values(r.recipients))) {
		return fmt.Errorf("the Channel %s is sealed for others now than when this began: call it again, to seal anew for %s", name, strings.Join(now, ", "))
	}
	return nil
}

// partly: all was gone through, but for this.
func partly(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errPartly, err)
}

// currentRecipients are those whom the Channel is sealed for.
func (r *resealer) currentRecipients(ctx context.Context, channel *v1alpha1.Channel) ([]string, error) {
	recipients := channel.Spec.Sealing.Recipients
	if len(recipients) == 0 {
		secret, err := r.sealingSecret(ctx, channel.Name)
		if err != nil {
			return nil, err
		}
		own, err := sealing.Recipient(string(secret.Data[identityKey]))
		return []string{own}, err
	}
	return recipients, nil
}

// checkRecipients says whom it will seal for, and refuses those that nobody has vouched for, by
// an identity or by name: whoever may write a Channel may add a recipient, and whoever may make
// Secrets an identity, and they would be given all that was ever sealed.
func (r *resealer) checkRecipients(channel string) error {
	held, err := sealing.Recipients(r.keys.vouching.Reveal())
	if err != nil {
		return err
	}
	strangers := 0
	for _, recipient := range r.recipients {
		how := "its identity is at hand"
		switch {
		case slices.Contains(held, recipient):
		case slices.Contains(r.named, recipient):
			how = "named, its identity is not at hand"
		default:
			how = "its identity is not at hand"
			strangers++
		}
		_, _ = fmt.Fprintf(r.Out, "Recipient %s: %s\n", visible(recipient), how)
	}
	for _, named := range r.named {
		if !slices.Contains(r.recipients, named) {
			return fmt.Errorf("--recipient %s: the Channel %s is not sealed for it", named, channel)
		}
	}
	if strangers > 0 {
		return fmt.Errorf("the identities of some recipients of Channel %s are not at hand, and all that was ever sealed could be read with them: add them to the file of --identity (beside it, those of the Secret do not count) or, where you know whose a recipient is, name it with --recipient (%d of them)",
			channel, strangers)
	}
	return nil
}

// orders are the names of a Channel's orders.
func (r *resealer) orders(ctx context.Context, channel string) ([]string, error) {
	var names []string
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("OrderVoucherList"))
	for {
		err := r.List(ctx, list, client.InNamespace(r.namespace), client.MatchingFields{"spec.channelRef.name": channel},
			client.Limit(pageSize), client.Continue(list.Continue))
		if err != nil {
			return nil, fmt.Errorf("list the orders of Channel %s: %w", channel, err)
		}
		for _, item := range list.Items {
			names = append(names, item.Name)
		}
		if list.Continue == "" {
			return names, nil
		}
	}
}

// object seals anew what is sealed on one object. What changes under our hands is looked at
// anew; what is gone needs nothing. An error is one that the next object would have too.
func (r *resealer) object(ctx context.Context, object client.Object, name string) error {
	var refused error
	for range tries {
		if err := r.Get(ctx, r.key(name), object); apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read %s: %w", r.key(name), err)
		}
		again := r.anew(object)
		if refused = r.write(ctx, object, again); refused == nil {
			r.sealed, r.current, r.failed = r.sealed+len(again.patch)/2, r.current+again.current, r.failed+len(again.failed)
			for _, failed := range again.failed {
				_, _ = fmt.Fprintf(r.ErrOut, "%s, %s\n", name, visible(failed))
			}
			return nil
		}
		if !isRefused(refused) {
			return fmt.Errorf("write %s: %w", r.key(name), refused)
		}
	}
	r.failed++
	_, _ = fmt.Fprintf(r.ErrOut, "%s: cannot be written: %s\n", name, visible(refused.Error()))
	return nil
}

// isRefused: the object is not what was read, or does not take the patch.
func isRefused(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && (status.ErrStatus.Code == http.StatusConflict || status.ErrStatus.Code == http.StatusUnprocessableEntity)
}

// anew is what is to be done on an object.
type anew struct {
	patch   []patchOperation
	current int
	failed  []string
}

type patchOperation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value"`
}

// anew seals anew what is sealed on an object.
func (r *resealer) anew(object client.Object) anew {
	var all anew
	switch o := object.(type) {
	case *v1alpha1.Channel:
		for i, n := range o.Status.Notices {
			r.add(&all, "notice "+n.ID, fmt.Sprintf("/status/notices/%d/sealed", i), n.Sealed)
		}
	case *v1alpha1.OrderVoucher:
		for i, n := range o.Spec.Notifications {
			r.add(&all, "notification "+n.ID, fmt.Sprintf("/spec/notifications/%d/sealed", i), n.Sealed)
			if n.Reply != nil {
				r.add(&all, "answer of notification "+n.ID, fmt.Sprintf("/spec/notifications/%d/reply/sealed", i), n.Reply.Sealed)
			}
		}
	}
	return all
}

// add adds one body. No two seals are equal, so the test holds only where this very body
// stands: what has moved, or is newer, is never written over.
func (r *resealer) add(to *anew, what, path, sealed string) {
	if sealed == "" {
		return
	}
	again, err := sealing.Reseal(sealed, r.keys.identities.Reveal(), r.recipients)
	switch {
	case err != nil:
		to.failed = append(to.failed, fmt.Sprintf("%s: %v", what, err))
	case again == sealed:
		to.current++
	default:
		to.patch = append(to.patch, patchOperation{"test", path, sealed}, patchOperation{"replace", path, again})
	}
}

func (r *resealer) write(ctx context.Context, object client.Object, again anew) error {
	if len(again.patch) == 0 || r.dryRun {
		return nil
	}
	if err := r.limit.Wait(ctx); err != nil {
		return err
	}
	body, err := json.Marshal(again.patch)
	if err != nil {
		return err
	}
	patch := client.RawPatch(types.JSONPatchType, body)
	if _, is := object.(*v1alpha1.Channel); is {
		return r.Status().Patch(ctx, object, patch)
	}
	return r.Patch(ctx, object, patch)
}

func (r *resealer) summary(orders int) error {
	did := "sealed anew"
	if r.dryRun {
		did = "to be sealed anew"
	}
	_, _ = fmt.Fprintf(r.Out, "%d orders and the Channel's notices: %d bodies %s, %d were so already, %d could not be.\n", orders, r.sealed, did, r.current, r.failed)
	if r.failed > 0 {
		return partly(errors.New("see above"))
	}
	return nil
}
