package order

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"k8s.io/utils/ptr"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// pushed is what the notifications say. Every field is a register: it holds the
// greatest of the notifications that speak of its fact, so that neither their order nor
// repetition matters, and every other one can be forgotten.
type pushed struct {
	paid, cancelled *v1alpha1.Notification
	// issue is the furthest that issuing has come: see issuing.
	issue *v1alpha1.Notification
	// wanted asks for codes, and wantedReply is what the platform was told.
	wanted      *v1alpha1.Notification
	wantedReply v1alpha1.Result
	codes       map[string]*pushedCode
	refunds     map[refundKey]*pushedRefund
}

// pushedCode is what is said of one code.
type pushedCode struct {
	id string
	// issued, used (or its use cancelled) and refunded by whom.
	issued, used, refunded mention
	// hint and persons by whoever named them last.
	hint, persons mention
}

// mention is one code in one notification.
type mention struct {
	by       *v1alpha1.Notification
	code     v1alpha1.Code
	position int
}

// refundKey tells refunds apart: by the platform's id or, where it gives none, by the
// notification.
type refundKey struct{ id, notification string }

// pushedRefund is what is said of one refund.
type pushedRefund struct {
	id                 string
	requested, decided *v1alpha1.Notification
	// reply is what the platform was told of the request; empty if nothing.
	reply v1alpha1.Result
}

// read fills the registers. What was given since the replies to the pushes takes their
// place.
func read(notifications []v1alpha1.Notification, given []v1alpha1.OrderAnswer) pushed {
	p := pushed{codes: map[string]*pushedCode{}, refunds: map[refundKey]*pushedRefund{}}
	for _, n := range distinct(notifications) {
		p.add(n)
	}
	p.forgetDecidedRequests()
	p.wantedReply = replyTo(p.wanted, given)
	for _, r := range p.refunds {
		r.reply = replyTo(r.requested, given)
	}
	return p
}

// replyTo is what the platform was told last of what the notification asks for; empty if
// it was told nothing.
func replyTo(n *v1alpha1.Notification, given []v1alpha1.OrderAnswer) v1alpha1.Result {
	if n == nil {
		return ""
	}
	for _, answer := range given {
		if answer.NotificationID == n.ID {
			return answer.Result
		}
	}
	if n.Reply == nil {
		return ""
	}
	return n.Reply.Result
}

func (p *pushed) add(n *v1alpha1.Notification) {
	if n.Type == v1alpha1.NotificationCodesIssued {
		p.issue = greatest(p.issue, n, further)
	}
	if n.Type == v1alpha1.NotificationRefunded {
		r := p.refund(n)
		r.decided = greatest(r.decided, n, moreDecided)
	}
	if failed(n) {
		return // it says that nothing came of it, which the two above have noted
	}
	switch n.Type {
	case v1alpha1.NotificationCodesRequested:
		p.wanted = greatest(p.wanted, n, newer) // its codes are none yet
	case v1alpha1.NotificationPaid:
		p.paid = greatest(p.paid, n, newer)
	case v1alpha1.NotificationCancelled:
		p.cancelled = greatest(p.cancelled, n, newer)
	case v1alpha1.NotificationCodesIssued:
		p.mention(n, func(c *pushedCode) *mention { return &c.issued })
	case v1alpha1.NotificationCodeUsed, v1alpha1.NotificationCodeUseCancelled:
		p.mention(n, func(c *pushedCode) *mention { return &c.used })
	case v1alpha1.NotificationRefunded:
		p.mention(n, func(c *pushedCode) *mention { return &c.refunded })
	case v1alpha1.NotificationRefundRequested:
		r := p.refund(n)
		r.requested = greatest(r.requested, n, newer)
		p.mention(n, nil)
	}
}

// mention notes the notification's codes in their registers, and in the one picked.
func (p *pushed) mention(n *v1alpha1.Notification, pick func(*pushedCode) *mention) {
	for i, code := range n.Codes {
		if code.ID == "" {
			continue
		}
		c, known := p.codes[code.ID]
		if !known {
			c = &pushedCode{id: code.ID}
			p.codes[code.ID] = c
		}
		m := mention{by: n, code: code, position: i}
		c.hint.renew(m)
		if code.Persons != nil {
			c.persons.renew(m)
		}
		if pick != nil {
			pick(c).renew(m)
		}
	}
}

func (m *mention) renew(other mention) {
	if !newer(m.by, other.by) {
		*m = other
	}
}

func (p *pushed) refund(n *v1alpha1.Notification) *pushedRefund {
	key := refundKey{notification: n.ID}
	if n.Refund != nil && n.Refund.ID != "" {
		key = refundKey{id: n.Refund.ID}
	}
	r, known := p.refunds[key]
	if !known {
		r = &pushedRefund{id: key.id}
		p.refunds[key] = r
	}
	return r
}

// forgetDecidedRequests drops requests without an id that a later decision without an
// id has answered: nothing else ties the two together.
func (p *pushed) forgetDecidedRequests() {
	var decision *v1alpha1.Notification
	for _, r := range p.refunds {
		if r.id == "" && r.decided != nil {
			decision = greatest(decision, r.decided, newer)
		}
	}
	maps.DeleteFunc(p.refunds, func(_ refundKey, r *pushedRefund) bool {
		return r.id == "" && r.decided == nil && newer(decision, r.requested)
	})
}

// deciders are the ids of the notifications that some register holds.
func (p *pushed) deciders() map[string]bool {
	ids := map[string]bool{}
	note := func(holders ...*v1alpha1.Notification) {
		for _, n := range holders {
			if n != nil {
				ids[n.ID] = true
			}
		}
	}
	note(p.paid, p.cancelled, p.issue, p.wanted)
	for _, c := range p.codes {
		note(c.issued.by, c.used.by, c.refunded.by, c.hint.by, c.persons.by)
	}
	for _, r := range p.refunds {
		note(r.requested, r.decided)
	}
	return ids
}

// lifecycle is how far the order has come where nobody tells a state.
func (p *pushed) lifecycle() v1alpha1.OrderPhase {
	switch {
	case p.issue != nil, p.wanted != nil:
		return v1alpha1.OrderIssuing
	case p.paid != nil:
		return v1alpha1.OrderPaid
	}
	return v1alpha1.OrderPending
}

// awaits reports whether the platform asked for codes, and neither pushes nor what is seen
// show any issued.
func (p *pushed) awaits(seen view) bool {
	given := p.wantedReply == v1alpha1.ResultIssued && len(seen.Codes) > 0
	return p.wanted != nil && issuing(p.issue) != issueDone && !given && !slices.ContainsFunc(seen.Codes, isIssued)
}

// onlyAnnounced reports whether pushes speak of codes to come and of none that were
// issued: a code that was used or refunded was. For where pushes alone are looked at.
func (p *pushed) onlyAnnounced() bool {
	if p.issue == nil || issuing(p.issue) == issueDone {
		return false
	}
	for _, c := range p.codes {
		if c.used.by != nil || c.refunded.by != nil {
			return false
		}
	}
	return true
}

// isIssued: the code itself was told, or it was used or refunded. A platform that has an
// id of its own for each unit of an order may list the units before they have codes: then
// the hint is the id's.
func isIssued(code v1alpha1.Code) bool {
	return code.Ref == "" || code.Hint != sealing.Hint(sealing.NewSecret(code.Ref)) ||
		count(code.Used) > 0 || count(code.Refunded) > 0
}

// answer is the answer that the pushes make up where the platform gives none. Unless
// they are trusted it tells of nothing used, refunded, cancelled or failed.
func (p *pushed) answer(trusted bool) *Answer {
	a := &Answer{State: p.state(trusted), Currency: p.currency()}
	for _, c := range p.sortedCodes() {
		a.Codes = append(a.Codes, c.status(trusted))
	}
	for _, r := range p.sortedRefunds() {
		if !trusted || r.undecided() || r.decided == nil && !r.turnedDown() {
			continue
		}
		a.Refunds = append(a.Refunds, r.status())
		if r.succeeded() && r.full() {
			a.RefundState = RefundFull
		}
	}
	return a
}

func (p *pushed) state(trusted bool) State {
	switch {
	case trusted && issuing(p.issue) == issueFailed:
		return Failed
	case trusted && p.cancelled != nil:
		return Cancelled
	case issuing(p.issue) == issueDone:
		return Issued
	}
	return Other
}

// currency of the newest amount that was named; empty if none was.
func (p *pushed) currency() string {
	var by *v1alpha1.Notification
	for _, r := range p.refunds {
		for _, n := range []*v1alpha1.Notification{r.requested, r.decided} {
			if n != nil && n.Refund != nil && n.Refund.Amount != nil {
				by = greatest(by, n, newer)
			}
		}
	}
	if by == nil {
		return ""
	}
	return by.Refund.Amount.Currency
}

// sortedCodes by the notification that issued them, or named them last, and their
// position in it.
func (p *pushed) sortedCodes() []*pushedCode {
	return slices.SortedFunc(maps.Values(p.codes), func(a, b *pushedCode) int {
		x, y := a.place(), b.place()
		return cmp.Or(compare(x.by, y.by), cmp.Compare(x.position, y.position), cmp.Compare(a.id, b.id))
	})
}

func (p *pushed) sortedRefunds() []*pushedRefund {
	keys := slices.SortedFunc(maps.Keys(p.refunds), func(a, b refundKey) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.notification, b.notification))
	})
	refunds := make([]*pushedRefund, 0, len(keys))
	for _, key := range keys {
		refunds = append(refunds, p.refunds[key])
	}
	return refunds
}

func (c *pushedCode) place() mention {
	if c.issued.by != nil {
		return c.issued
	}
	return c.hint
}

// status is the code as pushes tell it; a use or refund that is not trusted is not told.
// Where pushes are all there is, a use that none of them speaks of is not known.
func (c *pushedCode) status(trusted bool) v1alpha1.Code {
	code := v1alpha1.Code{ID: c.id, Hint: c.hint.code.Hint, Ref: c.hint.code.Ref, Form: c.hint.code.Form, Persons: c.persons.code.Persons}
	if !trusted {
		code.Used = ptr.To[int64](0)
		return code
	}
	if c.used.by != nil {
		code.Used = ptr.To(c.uses())
	}
	if c.refunded.by != nil {
		code.Refunded = ptr.To(c.whole(c.refunded.code.Refunded))
	}
	return code
}

// uses of the code, after the newest push that speaks of its use. A use without a
// number is of the whole code; a cancelled use without a number leaves none.
func (c *pushedCode) uses() int64 {
	switch {
	case c.used.by == nil:
		return 0
	case c.used.by.Type == v1alpha1.NotificationCodeUsed:
		return c.whole(c.used.code.Used)
	}
	return count(c.used.code.Used)
}

// whole is the number or, where none is given, all persons of the code.
func (c *pushedCode) whole(number *int64) int64 {
	switch {
	case number != nil:
		return count(number)
	case c.persons.by != nil:
		return count(c.persons.code.Persons)
	}
	return 1
}

func (r *pushedRefund) succeeded() bool { return r.decided != nil && !failed(r.decided) }

// undecided: asked for, not paid, and not refused since, by the platform or by us.
func (r *pushedRefund) undecided() bool { return r.asked() && r.reply != v1alpha1.ResultRefused }

// turnedDown: asked for, and refused by us.
func (r *pushedRefund) turnedDown() bool { return r.asked() && r.reply == v1alpha1.ResultRefused }

// asked: no push has decided the request.
func (r *pushedRefund) asked() bool {
	return r.requested != nil && !r.succeeded() && newer(r.requested, r.decided)
}

func (r *pushedRefund) full() bool { return r.decided.Refund != nil && r.decided.Refund.Full }

// status is the refund as the newest push tells it, amounts of the request standing in
// for those the decision does not name.
func (r *pushedRefund) status() v1alpha1.Refund {
	refund := v1alpha1.Refund{ID: r.id}
	for _, n := range []*v1alpha1.Notification{r.requested, r.decided} {
		if n == nil {
			continue
		}
		refund.At = n.OccurredAt
		if n.Refund != nil {
			refund.Amount = cmp.Or(n.Refund.Amount, refund.Amount)
			refund.Quantity = cmp.Or(n.Refund.Quantity, refund.Quantity)
		}
	}
	if r.undecided() {
		refund.At = r.requested.OccurredAt
		return refund
	}
	refund.Succeeded = ptr.To(r.succeeded())
	if !r.succeeded() && !r.turnedDown() {
		refund.Reason = r.decided.Reason
	}
	return refund
}

// How far issuing has come. That codes were issued outranks a failure, which may have
// been an earlier attempt's, and both outrank that codes are to come.
const (
	issueUnknown = iota
	issueAnnounced
	issueFailed
	issueDone
)

func issuing(n *v1alpha1.Notification) int {
	switch {
	case n == nil:
		return issueUnknown
	case failed(n):
		return issueFailed
	case n.Succeeded != nil:
		return issueDone
	}
	return issueAnnounced // though it may name codes
}

// failed: the push says that what it names did not come about. A push that does not say
// so says that it did: one that only waits for a result must not bear such a type.
func failed(n *v1alpha1.Notification) bool {
	no := func(succeeded *bool) bool { return succeeded != nil && !*succeeded }
	return no(n.Succeeded) || n.Refund != nil && no(n.Refund.Succeeded)
}

// compare orders notifications by when they occurred, then by what undoes what, then by
// id; nil comes first.
func compare(a, b *v1alpha1.Notification) int {
	if a == nil || b == nil {
		return cmp.Compare(rank(a != nil), rank(b != nil))
	}
	return cmp.Or(cmp.Compare(occurred(a), occurred(b)), cmp.Compare(rank(undoes(a)), rank(undoes(b))), cmp.Compare(a.ID, b.ID))
}

// undoes reports whether the notification takes another back. Platforms tell time by the
// second: of two that happened in the same one, this is the later.
func undoes(n *v1alpha1.Notification) bool { return n.Type == v1alpha1.NotificationCodeUseCancelled }

func newer(a, b *v1alpha1.Notification) bool { return compare(a, b) > 0 }

func further(a, b *v1alpha1.Notification) bool {
	return cmp.Or(cmp.Compare(issuing(a), issuing(b)), compare(a, b)) > 0
}

func moreDecided(a, b *v1alpha1.Notification) bool {
	return cmp.Or(cmp.Compare(rank(!failed(a)), rank(!failed(b))), compare(a, b)) > 0
}

func greatest(a, b *v1alpha1.Notification, greater func(a, b *v1alpha1.Notification) bool) *v1alpha1.Notification {
	if a == nil || greater(b, a) {
		return b
	}
	return a
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// occurred in microseconds, the precision that survives the API.
func occurred(n *v1alpha1.Notification) int64 {
	if n.OccurredAt == nil {
		return 0
	}
	return n.OccurredAt.UnixMicro()
}

// distinct is each id once. The API server keeps a single copy of an id; should two ever
// differ, the choice must not depend on their order.
func distinct(notifications []v1alpha1.Notification) []*v1alpha1.Notification {
	at := make(map[string]int, len(notifications))
	all := make([]*v1alpha1.Notification, 0, len(notifications))
	for i := range notifications {
		n := &notifications[i]
		j, known := at[n.ID]
		switch {
		case !known:
			at[n.ID] = len(all)
			all = append(all, n)
		case content(n) > content(all[j]):
			all[j] = n
		}
	}
	return all
}

// content is all of a notification that the fold reads.
func content(n *v1alpha1.Notification) string {
	read := v1alpha1.Notification{
		ID: n.ID, Type: n.Type, PlatformType: n.PlatformType, OccurredAt: n.OccurredAt,
		Succeeded: n.Succeeded, Reason: n.Reason, Codes: n.Codes, Refund: n.Refund, Deadline: n.Deadline,
	}
	if n.Reply != nil {
		read.Reply = &v1alpha1.NotificationReply{Result: n.Reply.Result}
	}
	text, err := json.Marshal(read)
	if err != nil {
		return "" // unreachable: nothing in a notification fails to marshal
	}
	return string(text)
}
