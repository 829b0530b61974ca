package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// revealer is one call of reveal.
type revealer struct {
	*cluster
	genericiooptions.IOStreams
	identity, output string
	raw              bool
}

func newReveal(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	reveal := &cobra.Command{
		Use:   "reveal",
		Short: "Show what is sealed",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	r := &revealer{IOStreams: streams}
	order := &cobra.Command{
		Use:     "order NAME",
		Aliases: []string{"orders", "ov", "ordervoucher", "ordervouchers"},
		Short:   "Show the voucher codes of an order",
		Long: `Show the voucher codes of an order, in clear: whoever has one can use it.

It takes the right to read the Secret <channel>-sealing or, where the Channel is sealed for
recipients of its own, the identity of one of them. Where that Secret may be read, the ids of
the codes are compared with those that the order lists.`,
		Example: `  kubectl channel reveal order -n travel fliggy-5002
  kubectl channel reveal order -n travel fliggy-5002 --identity key.txt -o json
  kubectl channel reveal order -n travel fliggy-5002 --raw`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) (err error) {
			switch {
			case r.output != "" && r.output != "json":
				return errors.New("--output must be json, or left out for a table")
			case r.output != "" && r.raw:
				return errors.New("--raw and --output do not go together")
			}
			if r.cluster, err = connect(flags); err != nil {
				return err
			}
			return r.order(command.Context(), args[0])
		},
	}
	order.Flags().StringVar(&r.identity, "identity", "", "File with age identities, one a line; - is standard input.")
	order.Flags().StringVarP(&r.output, "output", "o", "", "json, or left out for a table.")
	order.Flags().BoolVar(&r.raw, "raw", false, "Show the bodies as they were received, and the answers that gave codes. They may hold names and document numbers.")
	reveal.AddCommand(order)
	return reveal
}

func (r *revealer) order(ctx context.Context, name string) error {
	order := &v1alpha1.OrderVoucher{}
	if err := r.Get(ctx, r.key(name), order); err != nil {
		return fmt.Errorf("read OrderVoucher %s: %w", r.key(name), err)
	}
	keys, err := r.readKeys(ctx, order.Spec.ChannelRef.Name, r.identity, r.In)
	if err != nil {
		return err
	}
	if r.raw {
		return r.bodies(order, keys)
	}
	adapter, err := r.adapter(ctx, order)
	if err != nil {
		return err
	}
	found := collect(order, func(n *v1alpha1.Notification) ([]platform.Code, error) {
		return namedCodes(adapter, order.Spec.OrderID, n, keys.open)
	}, r.codeID(ctx, order.Spec.ChannelRef.Name, keys))
	r.addBrought(ctx, order, found)
	found.lookForMissing()
	if r.output == "json" {
		err = r.printJSON(order, found)
	} else {
		err = r.printTable(order, found)
	}
	if err != nil {
		return err
	}
	return r.tell(found.troubles)
}

// adapter reads the bodies of the order's platform: that of its Channel or, where this is
// gone or may not be read, of its label.
func (r *revealer) adapter(ctx context.Context, order *v1alpha1.OrderVoucher) (platform.Adapter, error) {
	channel := &v1alpha1.Channel{}
	err := r.Get(ctx, r.key(order.Spec.ChannelRef.Name), channel)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("read Channel %s: %w", r.key(order.Spec.ChannelRef.Name), err)
	}
	is := channel.Spec.Platform
	if err != nil {
		is = v1alpha1.Platform(order.Labels[v1alpha1.LabelPlatform])
	}
	adapter, known := adapters[is]
	if !known {
		return nil, fmt.Errorf("this version reads no bodies of platform %q; --raw shows them as they are", is)
	}
	return adapter, nil
}

// codesKey is the key of a Secret with codes made elsewhere.
const codesKey = "codes"

// addBrought adds the codes that were made elsewhere, of the Secret that the order names.
func (r *revealer) addBrought(ctx context.Context, order *v1alpha1.OrderVoucher, into *found) {
	ref := order.Spec.CodesSecretRef
	asked := slices.IndexFunc(order.Spec.Notifications, func(n v1alpha1.Notification) bool { return n.Type == v1alpha1.NotificationCodesRequested })
	if ref == nil || asked < 0 {
		return
	}
	secret := &corev1.Secret{}
	if err := r.Get(ctx, r.key(ref.Name), secret); err != nil {
		into.trouble("Secret "+ref.Name, err)
		return
	}
	into.addLines("Secret "+ref.Name, string(secret.Data[codesKey]), order.Spec.Notifications[asked].Codes)
}

// tell says what could not be shown, and fails if there is anything.
func (r *revealer) tell(troubles []trouble) error {
	for _, one := range troubles {
		_, _ = fmt.Fprintf(r.ErrOut, "%s: %s\n", visible(one.Of), visible(one.Why))
	}
	if len(troubles) > 0 {
		return fmt.Errorf("%w: see above", errPartly)
	}
	return nil
}

func (r *revealer) printTable(order *v1alpha1.OrderVoucher, found *found) error {
	if len(found.codes) == 0 {
		_, _ = fmt.Fprintf(r.ErrOut, "Nothing that was pushed about order %s names a code.\n", visible(order.Spec.OrderID))
		return nil
	}
	table := printers.GetNewTabWriter(r.Out)
	_, _ = fmt.Fprintln(table, "CODE\tPERSONS\tUSED\tREF\tFROM")
	for _, c := range found.codes {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", orNone(visible(c.text.Reveal())), number(c.persons), number(c.used),
			orNone(visible(c.ref)), orNone(visible(strings.Join(c.from, ","))))
	}
	return table.Flush()
}

func number(n *int64) string {
	if n == nil {
		return "<none>"
	}
	return strconv.FormatInt(*n, 10)
}

func orNone(text string) string {
	if text == "" {
		return "<none>"
	}
	return text
}

// shownOrder is what -o json prints.
type shownOrder struct {
	Order   string      `json:"order"`
	Channel string      `json:"channel"`
	OrderID string      `json:"orderID"`
	Codes   []shownCode `json:"codes"`
	// Missing is what could not be shown, or is another than it should be; absent if nothing.
	Missing []trouble `json:"missing,omitempty"`
}

type shownCode struct {
	// Code in clear; absent where only its ref is known.
	Code    string   `json:"code,omitempty"`
	Ref     string   `json:"ref,omitempty"`
	Form    string   `json:"form,omitempty"`
	Persons *int64   `json:"persons,omitempty"`
	Used    *int64   `json:"used,omitempty"`
	From    []string `json:"from,omitempty"`
}

func (r *revealer) printJSON(order *v1alpha1.OrderVoucher, found *found) error {
	shown := shownOrder{Order: order.Name, Channel: order.Spec.ChannelRef.Name, OrderID: order.Spec.OrderID,
		Codes: []shownCode{}, Missing: found.troubles}
	for _, c := range found.codes {
		shown.Codes = append(shown.Codes, shownCode{c.text.Reveal(), c.ref, c.form, c.persons, c.used, c.from})
	}
	text := &strings.Builder{}
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(shown); err != nil {
		return err
	}
	_, err := fmt.Fprint(r.Out, visibleJSON(text.String()))
	return err
}

// bodies prints all bodies of the order as they were received, and the answers that gave codes.
func (r *revealer) bodies(order *v1alpha1.OrderVoucher, keys keys) error {
	var troubles []trouble
	show := func(n *v1alpha1.Notification, what, sealed string) {
		if sealed == "" {
			return
		}
		body, err := keys.open(sealed)
		if err != nil {
			troubles = append(troubles, trouble{"notification " + n.ID, fmt.Sprintf("its %s: %v", what, err)})
			return
		}
		_, _ = fmt.Fprintf(r.Out, "==> %s, %s of %s <==\n%s\n", visible(n.ID), what, visible(n.PlatformType), r.shown(string(body)))
	}
	for i := range order.Spec.Notifications {
		n := &order.Spec.Notifications[i]
		show(n, "body", n.Sealed)
		if n.Reply != nil {
			show(n, "answer", n.Reply.Sealed)
		}
	}
	return r.tell(troubles)
}

// shown is a body as it came, but for a terminal: there nothing may move the cursor.
func (r *revealer) shown(body string) string {
	if file, ok := r.Out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return visibleLines(body)
	}
	return body
}
