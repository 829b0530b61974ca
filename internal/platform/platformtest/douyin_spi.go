package platformtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// douyinEventTimeout and douyinEventTries of webhooks (DOC, of the general platform).
	douyinEventTimeout = 5 * time.Second
	douyinEventTries   = 3
	// douyinRefundTries bounds the hourly tries of refund_apply: a day, after which the
	// refund is approved anyway.
	douyinRefundTries = 24
)

// douyinScenes are the SPI calls: how long the platform waits, and when it tries again
// (DOC; where no more is said, it does not).
var douyinScenes = map[string]rules{
	"pre_create_order": {timeout: 5 * time.Second, again: never},
	"issue_codes": {timeout: 8 * time.Second, again: unlessAccepted,
		pauses: []time.Duration{10 * time.Second, 30 * time.Second, 60 * time.Second, 120 * time.Second, 120 * time.Second, 240 * time.Second}},
	"refund_apply":       {timeout: 8 * time.Second, again: unlessAccepted, pauses: slices.Repeat([]time.Duration{time.Hour}, douyinRefundTries-1)},
	"refund_notice":      {timeout: 8 * time.Second, again: unlessAnswered, pauses: []time.Duration{10 * time.Second, 10 * time.Second}},
	"status_query":       {timeout: 8 * time.Second, again: never},
	"member_info_update": {timeout: 8 * time.Second, again: never},
}

func never(Verdict, bool) bool               { return false }
func unlessAccepted(v Verdict, _ bool) bool  { return v != Accepted }
func unlessAnswered(_ Verdict, ok bool) bool { return !ok }

// douyinScene is the SPI scene of a path; empty for webhooks.
func douyinScene(path string) string {
	if i := strings.LastIndex(path, "spi/"); i >= 0 {
		return path[i+len("spi/"):]
	}
	return ""
}

// Push sends a body to the path tail (DouyinEventsPath, DouyinIssuePath, …), or to a whole
// path that begins with a slash, signed as its kind is, and tries again as the platform
// does. What the reply says is not followed; the methods named after scenes do that.
func (f *Douyin) Push(ctx context.Context, path string, body []byte) Delivery {
	return f.courier.push(ctx, f.letter(path, body))
}

// letter is a body with the platform's signature and rules.
func (f *Douyin) letter(path string, body []byte) letter {
	scene := douyinScene(path)
	l := letter{path: path, contentType: "application/json", body: body, kind: scene, hush: scene != ""}
	if scene == "" {
		event, id, challenge := eventHead(body)
		id = cmp.Or(id, messageIDOf(body))
		l.kind, l.id = event, id
		l.stamp = func(r *http.Request) { f.stampEvent(r, id, body) }
		l.rules = &rules{timeout: douyinEventTimeout, pauses: slices.Repeat([]time.Duration{f.config.RetryEvery}, douyinEventTries-1),
			judge: func(status int, reply []byte) Verdict { return f.judgeEvent(event, challenge, status, reply) }}
		return l
	}
	var head struct {
		OrderID string `json:"order_id"`
		OpenID  string `json:"open_id"`
	}
	_ = json.Unmarshal(body, &head) // a raw push may be anything
	l.id = cmp.Or(head.OrderID, head.OpenID)
	l.stamp = func(r *http.Request) { f.stampSPI(r, body) }
	r := douyinScenes[scene]
	r.pauses = slices.Clone(r.pauses)
	for i := range r.pauses {
		r.pauses[i] = time.Duration(float64(r.pauses[i]) * f.config.RetryScale)
	}
	r.judge = func(status int, reply []byte) Verdict { v, _ := f.judgeSPI(scene, status, reply); return v }
	l.rules = &r
	return l
}

// judgeEvent: only the status counts (DOC), but for the question whether we are there.
func (f *Douyin) judgeEvent(event string, challenge json.RawMessage, status int, reply []byte) Verdict {
	verdict := DouyinVerdict(DouyinEventsPath, status, reply)
	if event != DouyinVerifyWebhook || challenge == nil || verdict != Accepted {
		return verdict
	}
	var echo map[string]json.RawMessage
	if json.Unmarshal(reply, &echo) != nil || len(echo) != 1 || !bytes.Equal(bytes.TrimSpace(echo["challenge"]), bytes.TrimSpace(challenge)) {
		f.complain("%s: the challenge does not come back as it was sent", event)
		return Refused
	}
	return Accepted
}

// DouyinVerdict is what the platform makes of the reply to a push at the path. Of webhooks
// only the status counts (DOC); which statuses are tried again is UNKNOWN, here 4xx are
// not. Of an SPI call, the number data.error_code counts, with 100 for "try again" (DOC of
// some scenes); what is no proper answer is taken for none.
func DouyinVerdict(path string, status int, body []byte) Verdict {
	if douyinScene(path) == "" {
		switch {
		case status == http.StatusOK:
			return Accepted
		case status >= 400 && status < 500:
			return Refused
		}
		return Retry
	}
	reply, err := readSPIReply(body)
	switch {
	case status == http.StatusUnauthorized:
		return Refused
	case status != http.StatusOK || err != nil || reply.Code == 100:
		return Retry
	case reply.Code == 0:
		return Accepted
	}
	return Refused
}

// DouyinReply is the answer to an SPI call.
type DouyinReply struct {
	// Answered: a proper answer came; the rest is of it.
	Answered    bool                       `json:"answered"`
	Code        int64                      `json:"code"`
	Description string                     `json:"description,omitempty"`
	Data        map[string]json.RawMessage `json:"-"`
}

// number is a JSON number in data; ok is false where it is something else.
func (r DouyinReply) number(name string) (n int64, ok bool) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(r.Data[name])), 10, 64)
	return n, err == nil
}

// readSPIReply reads an answer as strictly as the platform's acceptance tool: all in data,
// nothing beside it, error_code a JSON number up to 999999.
func readSPIReply(body []byte) (DouyinReply, error) {
	var whole map[string]json.RawMessage
	var reply DouyinReply
	if json.Unmarshal(body, &whole) != nil || whole == nil {
		return reply, errors.New("the reply is no JSON object")
	}
	if _, there := whole["data"]; !there || len(whole) != 1 {
		return reply, errors.New("the reply has not data alone")
	}
	if json.Unmarshal(whole["data"], &reply.Data) != nil || reply.Data == nil {
		return reply, errors.New("data is no JSON object")
	}
	code, ok := reply.number("error_code")
	if !ok || code < 0 || code > 999_999 {
		return reply, errors.New("error_code is no JSON number within 0 and 999999")
	}
	if raw := reply.Data["description"]; raw != nil && json.Unmarshal(raw, &reply.Description) != nil {
		return reply, errors.New("description is no text")
	}
	reply.Code, reply.Answered = code, true
	return reply, nil
}

// judgeSPI is the verdict on a reply, and the reply. It complains of one with HTTP 200
// that is not as it must be.
func (f *Douyin) judgeSPI(scene string, status int, body []byte) (Verdict, DouyinReply) {
	reply, err := readSPIReply(body)
	if err != nil && status == http.StatusOK {
		f.complain("%s: %v", scene, err)
	}
	return DouyinVerdict("spi/"+scene, status, body), reply
}

// ask sends an SPI call whose accepted reply is given to take, which gives the verdict in
// the end.
func (f *Douyin) ask(ctx context.Context, path string, body []byte, take func(DouyinReply) Verdict) Delivery {
	l := f.letter(path, body)
	l.rules.judge = func(status int, raw []byte) Verdict {
		verdict, reply := f.judgeSPI(l.kind, status, raw)
		if verdict != Accepted {
			return verdict
		}
		return take(reply)
	}
	return f.courier.push(ctx, l)
}

// DouyinPreCreate is what became of an order that the receiver was asked to allow.
type DouyinPreCreate struct {
	OrderID   string `json:"orderID"`
	ProductID string `json:"productID"`
	Count     int64  `json:"count"`
	// Allowed: error_code 0, or no proper answer in time (DOC).
	Allowed bool `json:"allowed"`
	DouyinReply
}

// PreCreate asks whether count of the product may be ordered.
func (f *Douyin) PreCreate(ctx context.Context, productID string, count int64) (DouyinPreCreate, Delivery) {
	f.mu.Lock()
	p := DouyinProduct{ID: productID, SkuID: productID}
	if known := f.products[productID]; known != nil {
		p = *known
	}
	f.mu.Unlock()
	asked := DouyinPreCreate{OrderID: fmt.Sprint(1_065_000_000_000_000_000 + time.Now().UnixNano()%1_000_000_000_000_000), ProductID: productID, Count: count}
	body := mustMarshal(map[string]any{"order_id": asked.OrderID, "sku_id": p.SkuID, "third_product_id": p.OutID, "third_sku_id": p.OutID,
		"count": count, "order_item_id": []string{}, "order_type": 21, "original_amount": count * p.Amount, "currency_code": "CNY",
		"create_order_time": time.Now().Unix(), "tourists": []any{}})
	l := f.letter(DouyinPreCreatePath, body)
	asked.Allowed = true
	l.rules.judge = func(status int, raw []byte) Verdict {
		verdict, reply := f.judgeSPI(l.kind, status, raw)
		if verdict != Retry {
			asked.DouyinReply, asked.Allowed = reply, reply.Code == 0
		}
		return verdict
	}
	d := f.courier.push(ctx, l)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.preCreates = append(f.preCreates[max(0, len(f.preCreates)-logLimit+1):], asked)
	return asked, d
}

// Issue asks for the codes of a paid order of third-party codes, as often as the platform
// does, and follows the answer. Asked again for an order that has them, it checks that
// they are the same.
func (f *Douyin) Issue(ctx context.Context, orderID string) (Delivery, error) {
	body, err := f.issueBody(orderID)
	if err != nil {
		return Delivery{}, err
	}
	d := f.ask(ctx, DouyinIssuePath, body, func(reply DouyinReply) Verdict { return f.takeIssue(orderID, reply) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.orders[orderID]; o.Issue == DouyinIssueAsked && ctx.Err() == nil && d.Attempts > 0 {
		f.issueFails(o) // no answer at all: what happens then is UNKNOWN
	}
	return d, nil
}

func (f *Douyin) issueBody(orderID string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, known := f.orders[orderID]
	switch {
	case !known:
		return nil, fmt.Errorf("no order %s", orderID)
	case !o.ThirdParty || o.PaidAt.IsZero():
		return nil, fmt.Errorf("order %s is not a paid one of third-party codes", orderID)
	case o.Issue == DouyinIssueFailed || o.Issue == DouyinIssueOverdue:
		return nil, fmt.Errorf("order %s: the issue is %s and is not asked for again", orderID, o.Issue)
	}
	o.Issue = cmp.Or(o.Issue, DouyinIssueAsked)
	sku := map[string]any{"sku_id": o.ProductID, "sku_name": "", "third_sku_id": "", "groupon_type": 1}
	if p := f.products[o.ProductID]; p != nil {
		sku = map[string]any{"sku_id": p.SkuID, "sku_name": p.Title, "third_sku_id": p.OutID, "groupon_type": 1}
	}
	body := map[string]any{"order_id": o.ID, "count": o.Count, "sku": sku, "open_id": o.OpenID,
		"start_time": o.PaidAt.Unix(), "expire_time": o.PaidAt.AddDate(0, 3, 0).Unix(),
		"amount": map[string]any{"original_amount": o.Count * o.Price, "pay_amount": o.Count * o.Price}}
	if !f.config.Quirks.IssueWithoutCertificates {
		certificates := []any{}
		for _, c := range o.Certificates {
			certificates = append(certificates, map[string]any{"certificate_id": c.ID})
		}
		body["certificates"] = certificates
	}
	return mustMarshal(body), nil
}

// takeIssue follows the answer to issue_codes (DOC).
func (f *Douyin) takeIssue(orderID string, reply DouyinReply) Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.orders[orderID]
	result, ok := reply.number("result")
	switch {
	case ok && result == 0:
		if o.Issue == DouyinIssueAsked {
			o.Issue, o.IssueDue = DouyinIssuePending, f.now().Add(douyinIssueWait)
		}
	case ok && result == 1:
		codes, err := issuedCodes(o, reply.Data["certificates"], reply.Data["codes"])
		if err == nil {
			err = f.issue("issue_codes", o, codes)
		}
		if err != nil {
			f.complain("issue_codes: order %s: %v", orderID, err)
			return Retry
		}
	case ok && result == 2:
		f.issueFails(o)
	default:
		f.complain("issue_codes: the result is not the number 0, 1 or 2")
		return Retry
	}
	return Accepted
}

// issuedCodes reads codes in either form, in the order of the certificates.
func issuedCodes(o *DouyinOrder, certificates, codes json.RawMessage) ([]string, error) {
	if certificates == nil {
		var list []string
		if json.Unmarshal(codes, &list) != nil || len(list) != len(o.Certificates) {
			return nil, fmt.Errorf("codes is no list of %d texts", len(o.Certificates))
		}
		return list, nil
	}
	var list []struct {
		CertificateID string `json:"certificate_id"`
		Code          string `json:"code"`
	}
	if json.Unmarshal(certificates, &list) != nil || len(list) != len(o.Certificates) {
		return nil, fmt.Errorf("certificates is no list of %d", len(o.Certificates))
	}
	byID := map[string]string{}
	for _, c := range list {
		byID[c.CertificateID] = c.Code
	}
	var inOrder []string
	for _, c := range o.Certificates {
		inOrder = append(inOrder, byID[c.ID])
	}
	return inOrder, nil
}

// issue stores the codes of an order: each certificate has one, none twice, none of another
// order, and never others than before.
func (f *Douyin) issue(op string, o *DouyinOrder, codes []string) error {
	for i, code := range codes {
		if code == "" || slices.Contains(codes[:i], code) {
			return errors.New("a certificate has no code, or one that is there twice")
		}
	}
	if o.Issue == DouyinIssued {
		if !slices.Equal(o.codes(), codes) {
			f.complain("%s: order %s was given two different sets of codes", op, o.ID)
			return errors.New("other codes than before")
		}
		return nil
	}
	for _, code := range codes {
		if err := f.claim(op, o.ID, code); err != nil {
			return err
		}
	}
	o.Issue, o.Status = DouyinIssued, DouyinUsable
	for i := range o.Certificates {
		o.Certificates[i].Code = codes[i]
		if o.Certificates[i].Status == DouyinCertificateInit {
			o.Certificates[i].Status = DouyinCertificateUnused
		}
	}
	return nil
}

// issueFails refunds without asking; there is no later issue (DOC).
func (f *Douyin) issueFails(o *DouyinOrder) {
	if o.Issue == DouyinIssued || o.Issue == DouyinIssueFailed {
		return
	}
	o.Issue = DouyinIssueFailed
	if a, err := f.apply(o, DouyinOwnRefund, "发券失败", nil); err == nil {
		f.approve(a, false)
	}
}

// answerCallback takes the codes that were not at hand when issue_codes asked (DOC).
func (f *Douyin) answerCallback(call douyinCall) (map[string]any, error) {
	var request struct {
		OrderID      string          `json:"order_id"`
		Result       int             `json:"result"`
		ThirdOrderID string          `json:"third_order_id"`
		Codes        json.RawMessage `json:"codes"`
		Certificates json.RawMessage `json:"certificates"`
	}
	if err := f.readBody(call, &request); err != nil {
		return nil, err
	}
	o := f.orders[request.OrderID]
	switch {
	case o == nil || !o.ThirdParty || o.Issue == "":
		f.complain("%s: no codes were asked for this order", call.op)
		return nil, douyinFailure{2100005, "no codes were asked for this order"}
	case o.Issue == DouyinIssueOverdue || o.Issue == DouyinIssueFailed:
		f.complain("%s: order %s: the callback comes after the deadline, or after a failure", call.op, o.ID)
		return nil, douyinFailure{3000001, "too late"}
	case request.Result == 2:
		f.issueFails(o)
		return nil, nil
	case request.Result != 1:
		f.complain("%s: the result %d is neither 1 nor 2", call.op, request.Result)
		return nil, douyinFailure{2100005, "result"}
	}
	codes, err := issuedCodes(o, request.Certificates, request.Codes)
	if err == nil {
		err = f.issue(call.op, o, codes)
	}
	if err != nil {
		f.complain("%s: order %s: %v", call.op, o.ID, err)
		return nil, douyinFailure{2100005, err.Error()}
	}
	o.OutOrderID = cmp.Or(o.OutOrderID, request.ThirdOrderID)
	return nil, nil
}

// ApplyRefund applies for a refund of third-party codes, all of them if none is named, and
// follows the answer.
func (f *Douyin) ApplyRefund(ctx context.Context, orderID, reason string, certificateIDs ...string) (DouyinAfterSale, Delivery, error) {
	f.mu.Lock()
	o, known := f.orders[orderID]
	if !known || !o.ThirdParty || o.PaidAt.IsZero() {
		f.mu.Unlock()
		return DouyinAfterSale{}, Delivery{}, fmt.Errorf("order %s is not a paid one of third-party codes", orderID)
	}
	a, err := f.apply(o, DouyinRefundApply, reason, certificateIDs)
	f.mu.Unlock()
	if err != nil {
		return DouyinAfterSale{}, Delivery{}, err
	}
	d := f.sendApplication(ctx, a.ID)
	now, _ := f.AfterSale(a.ID)
	return now, d, nil
}

// RepeatRefund sends an application again, as after a reply that was lost.
func (f *Douyin) RepeatRefund(ctx context.Context, afterSaleID string) (Delivery, error) {
	if a, known := f.AfterSale(afterSaleID); !known || a.Kind != DouyinRefundApply {
		return Delivery{}, fmt.Errorf("no refund application %s", afterSaleID)
	}
	return f.sendApplication(ctx, afterSaleID), nil
}

// review puts an application into the outbox.
func (f *Douyin) review(a *DouyinAfterSale) {
	id := a.ID
	f.outbox = append(f.outbox, func(ctx context.Context) Delivery { return f.sendApplication(ctx, id) })
	f.nudge()
}

func (f *Douyin) sendApplication(ctx context.Context, id string) Delivery {
	f.mu.Lock()
	a := f.afterSales[id]
	o := f.orders[a.OrderID]
	certificates := []any{}
	for _, id := range a.CertificateIDs {
		certificates = append(certificates, map[string]any{"certificate_id": id, "code": o.certificate(id).Code})
	}
	// The request's table is UNKNOWN; these names occur in its prose and its siblings.
	body := mustMarshal(map[string]any{"order_id": o.ID, "after_sale_id": a.ID, "certificates": certificates,
		"refund_amount": a.Amount, "apply_time": a.AppliedAt.Unix(), "reason": a.Reason})
	f.mu.Unlock()
	d := f.ask(ctx, DouyinRefundApplyPath, body, func(reply DouyinReply) Verdict { return f.takeApplication(id, reply) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.State == DouyinAsked && d.Attempts > 0 && ctx.Err() == nil {
		a.State, a.Due = DouyinPending, a.AppliedAt.Add(douyinRefundWait)
	}
	return d
}

// takeApplication follows the answer to refund_apply: 0 pending (INFER), 1 agree, 2 refuse.
func (f *Douyin) takeApplication(id string, reply DouyinReply) Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.afterSales[id]
	result, ok := reply.number("result")
	if !ok || result < 0 || result > 2 {
		f.complain("refund_apply: the result is not the number 0, 1 or 2")
		return Retry
	}
	if a.decided() || result == 0 {
		if a.State == DouyinAsked {
			a.State, a.Due = DouyinPending, f.now().Add(douyinRefundWait)
		}
		if result == 1 && a.State == DouyinRefused || result == 2 && a.State == DouyinApproved {
			f.complain("refund_apply: %s was answered otherwise before", a.ID)
		}
		return Accepted
	}
	if result == 1 {
		f.approve(a, false)
		return Accepted
	}
	var reason string
	_ = json.Unmarshal(reply.Data["reason"], &reason)
	for _, certificateID := range a.CertificateIDs {
		if f.orders[a.OrderID].certificate(certificateID).Code == "" {
			f.complain("refund_apply: %s refuses a coupon that was never issued, without its code", a.ID)
		}
	}
	f.refuse(a, reason)
	return Accepted
}

// refundNotice is the body of refund_notice; after_sale_id only of several coupons (DOC).
func (f *Douyin) refundNotice(a *DouyinAfterSale, o *DouyinOrder) []byte {
	list := []any{}
	for _, id := range a.CertificateIDs {
		list = append(list, map[string]any{"certificate_id": id, "code": o.certificate(id).Code, "total_count": 1,
			"apply_time": a.AppliedAt.Unix(), "audit_time": a.DecidedAt.Unix(), "audit_result": 1})
	}
	body := map[string]any{"order_id": o.ID, "after_sale_type": 3, "notice_list": list}
	if len(list) > 1 {
		body["after_sale_id"] = a.ID
	}
	return mustMarshal(body)
}

// QueryStatus asks for the state of orders, and gives the answer by order id.
func (f *Douyin) QueryStatus(ctx context.Context, scene string, orderIDs ...string) (map[string]json.RawMessage, Delivery) {
	var result map[string]json.RawMessage
	d := f.ask(ctx, DouyinStatusQueryPath, mustMarshal(map[string]any{"scene": scene, "order_ids": orderIDs}), func(reply DouyinReply) Verdict {
		result = nil
		if json.Unmarshal(reply.Data["result"], &result) != nil || result == nil {
			f.complain("status_query: result is no JSON object")
			return Refused
		}
		for id, raw := range result {
			var order struct {
				OrderID    string   `json:"order_id"`
				OutOrderID string   `json:"out_order_id"`
				Status     *int     `json:"order_status"`
				Codes      []string `json:"codes"`
			}
			if json.Unmarshal(raw, &order) != nil || !slices.Contains(orderIDs, id) || order.OrderID != id || order.Status == nil {
				f.complain("status_query: an order that was not asked for, or of another form")
			}
		}
		return Accepted
	})
	return result, d
}

// UpdateMember tells that a member's telephone number changes, and gives the answer.
func (f *Douyin) UpdateMember(ctx context.Context, openID, oldMobile, newMobile string) (DouyinReply, Delivery) {
	body := f.MemberUpdate(openID, oldMobile, newMobile, time.Now())
	l := f.letter(DouyinMemberPath, body)
	var answer DouyinReply
	l.rules.judge = func(status int, raw []byte) Verdict {
		verdict, reply := f.judgeSPI(l.kind, status, raw)
		answer = reply
		return verdict
	}
	d := f.courier.push(ctx, l)
	return answer, d
}

// MemberUpdate is the body of member_info_update, with the numbers encrypted (DOC).
func (f *Douyin) MemberUpdate(openID, oldMobile, newMobile string, at time.Time) []byte {
	return mustMarshal(map[string]any{"open_id": openID, "account_id": f.config.AccountID, "update_time": strconv.FormatInt(at.Unix(), 10),
		"info": map[string]any{"mobile": map[string]any{"old_mobile": f.Encrypt(oldMobile), "new_mobile": f.Encrypt(newMobile)}}})
}
