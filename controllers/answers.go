package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/apierror"
	"github.com/laidoulaile/channel-operator/internal/order"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	// codesKey is the key of a Secret with codes made elsewhere, one a line.
	codesKey = "codes"
	// answerPatience is how long an answer waits for the account's turn.
	answerPatience = 5 * time.Second
	// askBeforeAnswers, giveAnswers and askAfterAnswers bound the parts of a look that has
	// answers to give, so that what the platform took is recorded within askTimeout.
	askBeforeAnswers = 20 * time.Second
	giveAnswers      = 20 * time.Second
	askAfterAnswers  = 10 * time.Second
	// maxRefunds is how many refunds a status lists (the schema's bound).
	maxRefunds = 64
)

// owed is an answer that is owed, and what one look made of it. At most one of the other
// fields is set; none is if the platform was not told yet.
type owed struct {
	order.Debt
	// result that the platform took.
	result v1alpha1.Result
	// missing is what somebody has to give first.
	missing *missing
	// err: the platform, or the API server, did not let it be told.
	err error
}

// missing is what an answer waits for: a reason of the API's, and what to do.
type missing struct{ reason, message string }

// owedNow are the answers that are owed, as far as the look has seen.
func owedNow(ov *v1alpha1.OrderVoucher, seen *seenOrder) []order.Debt {
	status := *ov.Status.DeepCopy()
	if seen.answer != nil {
		fill(&status, order.Fold(ov.Spec.Notifications, order.Evidence{Answer: seen.answer, Given: status.Answers}))
		status.Confirmed = &v1alpha1.OrderConfirmation{}
	}
	return owedAfter(ov, status, seen)
}

// owedAfter are the answers that are owed by a status. One that the platform's answer was
// just folded into also tells, by not listing a refund as open, that it is decided.
func owedAfter(ov *v1alpha1.OrderVoucher, status v1alpha1.OrderVoucherStatus, seen *seenOrder) []order.Debt {
	return slices.DeleteFunc(order.Owed(ov.Spec, status), func(debt order.Debt) bool {
		return seen.answer != nil && debt.RefundID != "" && len(status.Refunds) < maxRefunds &&
			!slices.ContainsFunc(status.Refunds, func(refund v1alpha1.Refund) bool { return refund.ID == debt.RefundID })
	})
}

// answer tells the platform what it waits for, as far as that is known, and reports
// whether it took anything. After a crash the same is told again: what is told comes from
// the object, its Secret and the platform's own answer alone.
func (r *OrderVoucherReconciler) answer(ctx context.Context, ov *v1alpha1.OrderVoucher, account *accounts.Account, seen *seenOrder) (took bool) {
	answerer, ok := account.Client.(platform.OrderAnswerer)
	if seen.mute = !ok; seen.mute {
		return false
	}
	ctx, cancel := context.WithTimeout(platform.WithPatience(ctx, answerPatience), giveAnswers)
	defer cancel()
	for _, debt := range owedNow(ov, seen) {
		if r.Leads != nil && !r.Leads() {
			break // another may have told something else since, and what is told cannot be taken back
		}
		one := r.settle(ctx, ov, account, answerer, debt, seen.answer)
		seen.owed = append(seen.owed, one)
		took = took || one.result != ""
		if one.err != nil && !answered(one.err) || refusesAccount(one.err) {
			break // the next would fare no better
		}
	}
	return took
}

func (r *OrderVoucherReconciler) settle(ctx context.Context, ov *v1alpha1.OrderVoucher, account *accounts.Account,
	answerer platform.OrderAnswerer, debt order.Debt, answer *order.Answer) owed {
	if debt.Kind == order.DebtCodes {
		return r.giveCodes(ctx, ov, answerer, debt)
	}
	return r.decideRefund(ctx, ov, account, answerer, debt, answer)
}

// giveCodes tells the platform the codes of the Secret that the order names.
func (r *OrderVoucherReconciler) giveCodes(ctx context.Context, ov *v1alpha1.OrderVoucher, answerer platform.OrderAnswerer, debt order.Debt) owed {
	one := owed{Debt: debt}
	ref := ov.Spec.CodesSecretRef
	if ref == nil {
		one.missing = codesNeeded("%s: put them into a Secret, one a line in the order of the certificates under the key %s, and name it in spec.codesSecretRef",
			awaited(debt), codesKey)
		return one
	}
	codes, err := r.readCodes(ctx, ov)
	switch wanted := len(debt.Codes); {
	case apierrors.IsNotFound(err):
		one.missing = codesNeeded("%s, and Secret %s does not exist: create it with one code a line under the key %s", awaited(debt), ref.Name, codesKey)
	case err != nil:
		one.err = unread(ref, err)
	case len(codes) == 0, wanted > 0 && len(codes) != wanted:
		one.missing = codesNeeded("%s, and Secret %s has %d under the key %s, one a line: correct it", awaited(debt), ref.Name, len(codes), codesKey)
	default:
		issue := platform.Issue{OrderID: ov.Spec.OrderID}
		for i, code := range codes {
			issue.Codes = append(issue.Codes, platform.Code{Text: code})
			if wanted > 0 {
				issue.Codes[i].ID = debt.Codes[i].Ref
			}
		}
		one.told(v1alpha1.ResultIssued, without(answerer.IssueCodes(ctx, issue), codes))
	}
	return one
}

func codesNeeded(format string, arguments ...any) *missing {
	return &missing{v1alpha1.ReasonCodesNeeded, fmt.Sprintf(format, arguments...)}
}

// told notes what came of telling the platform.
func (o *owed) told(result v1alpha1.Result, err error) {
	if o.err = err; err == nil {
		o.result = result
	}
}

// readCodes reads the codes made elsewhere, past every cache. To be consistent with what was
// written, the client would keep all Secrets there are in a cache, though it reads from none.
func (r *OrderVoucherReconciler) readCodes(ctx context.Context, ov *v1alpha1.OrderVoucher) ([]sealing.Secret, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: ov.Namespace, Name: ov.Spec.CodesSecretRef.Name}
	if err := r.Get(ctx, key, &secret, client.DisableReadYourWritesConsistency); err != nil {
		return nil, err
	}
	var codes []sealing.Secret
	for line := range strings.Lines(string(secret.Data[codesKey])) {
		if line = strings.TrimSpace(line); line != "" {
			codes = append(codes, sealing.NewSecret(line))
		}
	}
	return codes, nil
}

// unread is a Secret that the API server did not give, in none of its own words: they end in a condition.
func unread(ref *v1alpha1.SecretReference, err error) error {
	return &platform.Error{Kind: platform.Transient, Reason: platform.ReasonUnavailable, Op: "read Secret " + ref.Name, Err: apierror.Plain(err)}
}

// without takes the codes that were told from what the platform says to them.
func without(err error, codes []sealing.Secret) error {
	failure, ok := errors.AsType[*platform.Error](err)
	if !ok {
		return err
	}
	clean := *failure
	clean.Text = sealing.Scrub(clean.Text, codes...)
	return &clean
}

// decideRefund tells the platform what a person, or the Channel's policy, makes of a
// refund request.
func (r *OrderVoucherReconciler) decideRefund(ctx context.Context, ov *v1alpha1.OrderVoucher, account *accounts.Account,
	answerer platform.OrderAnswerer, debt order.Debt, answer *order.Answer) owed {
	one := owed{Debt: debt}
	approve, reason := personsDecision(ov, debt)
	byPolicy := approve == nil && answerer.ApprovesUnused(debt.PlatformType)
	if byPolicy {
		if answer == nil || useDoubted(ov, answer) {
			return one // the policy needs the platform's word on what is used
		}
		approve = policysDecision(debt, answer)
	}
	if approve == nil {
		one.missing = &missing{v1alpha1.ReasonDecisionNeeded, awaited(debt) + ": " + howToDecide(ov, debt)}
		return one
	}
	decision := platform.Decision{OrderID: ov.Spec.OrderID, RefundID: debt.RefundID, PlatformType: debt.PlatformType,
		Approve: *approve, Reason: reason, Used: byPolicy && !*approve}
	texts, err := r.ownCodes(ctx, ov, account)
	if err != nil {
		one.err = err
		return one
	}
	for _, code := range debt.Codes {
		decision.Codes = append(decision.Codes, platform.Code{ID: code.Ref, Text: texts[code.ID]})
	}
	result := v1alpha1.ResultRefused
	if *approve {
		result = v1alpha1.ResultApproved
	}
	err = answerer.DecideRefund(ctx, decision)
	one.told(result, without(err, slices.Collect(maps.Values(texts))))
	return one
}

// personsDecision is what the spec says to a refund request; nil if nothing. A decision
// that answered an earlier request for the same refund does not answer another, unless it
// names that one.
func personsDecision(ov *v1alpha1.OrderVoucher, debt order.Debt) (approve *bool, reason string) {
	for _, decision := range ov.Spec.RefundDecisions {
		switch {
		case decision.RefundID != debt.RefundID:
		case decision.NotificationID == debt.NotificationID,
			decision.NotificationID == "" && !decidedBefore(ov, debt):
			return ptr.To(decision.Approve), decision.Reason
		}
	}
	return nil, ""
}

// decidedBefore: another request for the same refund was answered.
func decidedBefore(ov *v1alpha1.OrderVoucher, debt order.Debt) bool {
	return slices.ContainsFunc(ov.Spec.Notifications, func(n v1alpha1.Notification) bool {
		return n.ID != debt.NotificationID && n.Refund != nil && n.Refund.ID == debt.RefundID && isAnswered(ov.Status.Answers, n.ID)
	})
}

// policysDecision approves where the platform's answer says that nothing of the codes
// concerned is used, and refuses where all of it is; nil where neither is so, or where it
// cannot be told. A unit that was never given a code is not used.
func policysDecision(debt order.Debt, answer *order.Answer) (approve *bool) {
	var unused, used int
	for _, code := range debt.Codes {
		i := slices.IndexFunc(answer.Codes, func(c v1alpha1.Code) bool { return c.ID == code.ID })
		switch {
		case i >= 0 && untouched(answer.Codes[i]), i < 0 && notIssued(answer):
			unused++
		case i >= 0 && usedUp(answer.Codes[i]):
			used++
		}
	}
	switch concerned := len(debt.Codes); {
	case concerned > 0 && unused == concerned:
		return ptr.To(true)
	case concerned > 0 && used == concerned:
		return ptr.To(false)
	}
	return nil
}

// useDoubted: a use, or the end of one, was pushed, and the platform's answer does not
// show it yet.
func useDoubted(ov *v1alpha1.OrderVoucher, answer *order.Answer) bool {
	doubts := order.Fold(ov.Spec.Notifications, order.Evidence{Answer: answer, Given: ov.Status.Answers}).Unconfirmed
	return slices.ContainsFunc(ov.Spec.Notifications, func(n v1alpha1.Notification) bool {
		return (n.Type == v1alpha1.NotificationCodeUsed || n.Type == v1alpha1.NotificationCodeUseCancelled) &&
			slices.ContainsFunc(doubts, func(claim order.Claim) bool { return claim.NotificationID == n.ID })
	})
}

// untouched: the platform says that nothing of the code is used or refunded.
func untouched(code v1alpha1.Code) bool {
	return code.Used != nil && *code.Used == 0 && ptr.Deref(code.Refunded, 0) == 0
}

func usedUp(code v1alpha1.Code) bool {
	return ptr.Deref(code.Used, 0) >= max(1, ptr.Deref(code.Persons, 1))
}

// notIssued: the order was paid at most, and has no codes.
func notIssued(answer *order.Answer) bool {
	return len(answer.Codes) == 0 && (answer.State == order.Pending || answer.State == order.Paid)
}

// ownCodes are the codes of an order as far as they are ours, by their ids in the API:
// those made here for it, and those of its Secret, told or not: to refuse the refund of a
// unit that has no code yet is to give it one.
func (r *OrderVoucherReconciler) ownCodes(ctx context.Context, ov *v1alpha1.OrderVoucher, account *accounts.Account) (map[string]sealing.Secret, error) {
	texts := map[string]sealing.Secret{}
	for _, n := range ov.Spec.Notifications {
		switch {
		case n.Type == v1alpha1.NotificationCodesIssued && n.Reply != nil && n.Reply.Result == v1alpha1.ResultIssued:
			for _, code := range n.Codes {
				// A key that changed since makes other codes: those are not the platform's.
				made := account.MakeCode(ov.Spec.OrderID, code.Ref)
				if code.Ref != "" && account.CodeID(platform.Code{ID: code.Ref}) == code.ID && sealing.Hint(made) == code.Hint {
					texts[code.ID] = made
				}
			}
		case n.Type == v1alpha1.NotificationCodesRequested && ov.Spec.CodesSecretRef != nil:
			codes, err := r.readCodes(ctx, ov)
			if client.IgnoreNotFound(err) != nil {
				return nil, unread(ov.Spec.CodesSecretRef, err)
			}
			for i, code := range n.Codes {
				if len(codes) == len(n.Codes) {
					texts[code.ID] = codes[i]
				}
			}
		}
	}
	return texts, nil
}

func isAnswered(answers []v1alpha1.OrderAnswer, notificationID string) bool {
	return slices.ContainsFunc(answers, func(a v1alpha1.OrderAnswer) bool { return a.NotificationID == notificationID })
}

// awaited says what the platform waits for, and until when.
func awaited(debt order.Debt) string {
	text := "the platform waits for " + wanted(debt)
	if debt.Deadline.IsZero() {
		return text
	}
	return text + " until " + debt.Deadline.UTC().Format(time.RFC3339)
}

// wanted names what is owed.
func wanted(debt order.Debt) string {
	switch {
	case debt.Kind == order.DebtCodes && len(debt.Codes) == 0:
		return "codes"
	case debt.Kind == order.DebtCodes:
		return fmt.Sprintf("%d codes", len(debt.Codes))
	case debt.RefundID == "":
		return "a decision on a refund"
	}
	return "a decision on refund " + debt.RefundID
}

func howToDecide(ov *v1alpha1.OrderVoucher, debt order.Debt) string {
	switch {
	case debt.RefundID == "":
		return "it gives the request no id, so decide it on the platform"
	case decidedBefore(ov, debt):
		return "it was asked for again: set notificationID " + debt.NotificationID + " with the decision in spec.refundDecisions"
	}
	return "add {refundID, approve} to spec.refundDecisions"
}
