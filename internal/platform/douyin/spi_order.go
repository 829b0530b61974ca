package douyin

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// issueDeadline is how long the platform waits for codes that are still to come, before it
// refunds the order (documented).
const issueDeadline = 10 * time.Minute

// preCreate asks, before an order is placed, whether it may be (documented: within 5 s;
// an answer that is none lets it through).
type preCreate struct {
	scene
	names platform.ProductNames
	count int64
}

var _ platform.Inquiry = preCreate{}

// openPreCreate reads which product, how many. The request names the buyer too, and what
// the order comes to; nothing of that is read.
func openPreCreate(s scene) (platform.Message, error) {
	m := preCreate{scene: s, count: 1}
	named := func(names ...string) (ids []string) {
		for _, name := range names {
			if id := s.body.ID(name); id != "" && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	// sku_id is the platform's product (documented); product_id is not in the table.
	m.names = platform.ProductNames{IDs: named("sku_id", "product_id"), SupplierCodes: named("third_sku_id", "third_product_id")}
	if len(m.names.IDs)+len(m.names.SupplierCodes) == 0 {
		s.body.Fail("sku_id", "is missing")
	}
	if count := s.body.Count("count"); count != nil {
		m.count = max(1, *count)
	}
	return m, nil
}

// Asks for the product.
func (m preCreate) Asks() platform.Lookup { return platform.Lookup{Product: &m.names} }

// Answer says whether the product can be ordered. The codes 1 to 5 are inferred, from notes
// of the platform's acceptance; nothing is recorded.
func (m preCreate) Answer(_ platform.Holder, known platform.Known) (platform.Answer, error) {
	return platform.Answer{Reply: answered(m.verdict(known))}, nil
}

func (m preCreate) verdict(known platform.Known) status {
	product := known.Product
	switch {
	case product == nil || product.Deleted:
		return status{1, "商品不存在"}
	case product.State == platform.ProductOffSale || product.State == platform.ProductBanned:
		return status{2, "商品已下架"}
	case !product.SaleStart.IsZero() && known.Now.Before(product.SaleStart):
		return status{3, "商品未开售"}
	case !product.SaleEnd.IsZero() && known.Now.After(product.SaleEnd):
		return status{4, "商品已停售"}
	case product.Stock != nil && *product.Stock < m.count:
		return status{5, "商品已售罄"}
	}
	return success
}

// issue asks for the codes of a paid order (documented: within 8 s, and again after 10, 30,
// 60, 120, 120 and 240 s; the same order must get the same codes).
type issue struct {
	scene
	orderID string
	// units are what a code is for: the certificates or, where none are named, as many as
	// were bought.
	units []string
	// named: the units are certificates.
	named bool
}

var _ platform.Inquiry = issue{}

// openIssue reads the order and its certificates. The page's table is cut before them;
// that they are named is inferred, from public code that reads real requests.
func openIssue(s scene) (platform.Message, error) {
	s.body.Require("order_id")
	m := issue{scene: s, orderID: s.body.ID("order_id")}
	list := s.body.Objects("certificates")
	for _, entry := range list {
		entry.Require("certificate_id")
	}
	coupons := readCoupons(list)
	if err := malformed(s.body); err != nil {
		return nil, err
	}
	if err := checkCoupons(coupons); err != nil {
		return nil, err
	}
	m.named = len(coupons) > 0
	for _, c := range coupons {
		m.units = append(m.units, c.ID)
	}
	if m.named {
		return m, nil
	}
	s.body.Require("count")
	count := s.body.Count("count")
	if count != nil && (*count < 1 || *count > maxUnits) {
		s.body.Fail("count", fmt.Sprintf("is not 1 to %d", maxUnits))
	}
	if err := malformed(s.body); err != nil {
		return nil, err
	}
	for i := range *count {
		m.units = append(m.units, numbered(i))
	}
	return m, nil
}

// numbered names a unit that the platform gives no id, the first being 0.
func numbered(i int64) string { return "#" + strconv.FormatInt(i+1, 10) }

// Asks for the order.
func (m issue) Asks() platform.Lookup { return platform.Lookup{Orders: []string{m.orderID}} }

// Answer gives codes made here, at once, or says that they are still to come.
func (m issue) Answer(holder platform.Holder, known platform.Known) (platform.Answer, error) {
	id := sceneID(sceneIssueCodes, m.orderID)
	if recorded, ok := known.Orders[m.orderID].Recorded[id]; ok {
		return m.again(recorded, known)
	}
	if settingsOf(holder).CodeSource != SourceGenerate {
		return m.later(id), nil
	}
	codes := m.made(known)
	reply := m.reply(codes)
	n := m.notification(kindCodesIssued, m.orderID, id)
	n.Succeeded, n.Codes = new(true), codes
	n.Replied = &platform.Replied{Result: platform.ResultIssued, Body: reply.Body}
	return platform.Answer{Events: []platform.Event{{Order: n}}, Reply: reply}, nil
}

// later says that the codes are still to come. They must, before the deadline.
func (m issue) later(id string) platform.Answer {
	n := m.notification(kindCodesRequested, m.orderID, id)
	if m.named {
		for _, unit := range m.units {
			n.Codes = append(n.Codes, platform.Code{ID: unit})
		}
	}
	n.Deadline = m.deadline(issueDeadline)
	n.Replied = &platform.Replied{Result: platform.ResultPending}
	return platform.Answer{Events: []platform.Event{{Order: n}}, Reply: inProgress()}
}

// again answers what was answered before.
func (m issue) again(recorded platform.Recorded, known platform.Known) (platform.Answer, error) {
	if recorded.Result == string(platform.ResultPending) {
		return platform.Answer{Recorded: true, Reply: inProgress()}, nil
	}
	codes := m.made(known)
	if !sameCodes(codes, recorded.CodeIDs, known.CodeID) {
		// Nobody may get other codes than were given: the platform asks again meanwhile.
		return platform.Answer{}, fmt.Errorf(
			"%w: the codes that were given cannot be made again: the sealing keys or the request changed", platform.ErrCredentials)
	}
	return platform.Answer{Recorded: true, Reply: m.reply(codes)}, nil
}

// made are the codes of the units.
func (m issue) made(known platform.Known) []platform.Code {
	codes := make([]platform.Code, len(m.units))
	for i, unit := range m.units {
		codes[i].Text = known.MakeCode(m.orderID, unit)
		if m.named {
			codes[i].ID = unit
		}
	}
	return codes
}

// sameCodes reports whether the codes are those recorded, in any order.
func sameCodes(codes []platform.Code, recorded []string, name func(platform.Code) string) bool {
	var ids []string
	for _, code := range codes {
		ids = append(ids, name(code))
	}
	return slices.Equal(slices.Sorted(slices.Values(ids)), slices.Sorted(slices.Values(recorded)))
}

// The results of issuing codes (documented).
const (
	issuePending = 0
	issueDone    = 1
)

// issued is the answer to issue.
type issued struct {
	sealing.Unprinted
	status
	Result int `json:"result"`
	// Certificates (documented) or, where none were named, Codes: the older form.
	Certificates []issuedCode `json:"certificates,omitempty"`
	Codes        []string     `json:"codes,omitempty"`
}

type issuedCode struct {
	sealing.Unprinted
	CertificateID string `json:"certificate_id"`
	Code          string `json:"code"`
}

func inProgress() platform.Reply { return answered(issued{status: success, Result: issuePending}) }

func (m issue) reply(codes []platform.Code) platform.Reply {
	data := issued{status: success, Result: issueDone}
	for _, code := range codes {
		if m.named {
			data.Certificates = append(data.Certificates, issuedCode{CertificateID: code.ID, Code: code.Text.Reveal()})
		} else {
			data.Codes = append(data.Codes, code.Text.Reveal())
		}
	}
	return answered(data)
}

// maxQueried orders may be asked about at once (documented).
const maxQueried = 100

// statusQuery asks how orders stand with us.
type statusQuery struct {
	scene
	orderIDs []string
}

var _ platform.Inquiry = statusQuery{}

func openStatusQuery(s scene) (platform.Message, error) {
	s.body.Require("order_ids")
	ids := s.body.IDs("order_ids")
	if s.body.Fault() == "" && (len(ids) == 0 || len(ids) > maxQueried) {
		s.body.Fail("order_ids", fmt.Sprintf("are not 1 to %d", maxQueried))
	}
	slices.Sort(ids)
	return statusQuery{scene: s, orderIDs: slices.Compact(ids)}, nil
}

// Asks for the orders.
func (m statusQuery) Asks() platform.Lookup { return platform.Lookup{Orders: m.orderIDs} }

// orderNumbers are the states of an order, as the platform's own order query numbers them;
// that it wants the same here is inferred.
var orderNumbers = map[string]int{
	"Pending": 100,
	"Paid":    200, "Issuing": 200,
	"Issued": 201, "PartlyUsed": 201, "RefundRequested": 201, "PartlyRefunded": 201,
	"Used": 1, "Refunded": 1,
	"Cancelled": 101, "Failed": 101,
}

// queriedOrder is how an order stands. The page's table is cut behind these.
type queriedOrder struct {
	sealing.Unprinted
	OrderID     string   `json:"order_id"`
	OutOrderID  string   `json:"out_order_id,omitempty"`
	OrderStatus int      `json:"order_status"`
	Codes       []string `json:"codes,omitempty"`
}

// Answer tells of the orders that we know; nothing is recorded.
func (m statusQuery) Answer(_ platform.Holder, known platform.Known) (platform.Answer, error) {
	result := map[string]queriedOrder{}
	for _, id := range m.orderIDs {
		order, ok := known.Orders[id]
		if !ok {
			continue
		}
		result[id] = queriedOrder{
			OrderID: id, OutOrderID: order.OutOrderID, OrderStatus: orderNumbers[order.Phase], Codes: givenCodes(id, order, known),
		}
	}
	return platform.Answer{Reply: answered(struct {
		status
		Result map[string]queriedOrder `json:"result"`
	}{success, result})}, nil
}

// givenCodes are the codes made here that were given for the order; none where they cannot
// be made again.
func givenCodes(orderID string, order platform.KnownOrder, known platform.Known) []string {
	recorded, ok := order.Recorded[sceneID(sceneIssueCodes, orderID)]
	if !ok || recorded.Result != string(platform.ResultIssued) {
		return nil
	}
	var codes []string
	for i, id := range recorded.CodeIDs {
		code, unit := platform.Code{}, numbered(int64(i))
		if i < len(recorded.Refs) && recorded.Refs[i] != "" {
			code.ID, unit = recorded.Refs[i], recorded.Refs[i]
		}
		code.Text = known.MakeCode(orderID, unit)
		if known.CodeID(code) != id {
			return nil
		}
		codes = append(codes, code.Text.Reveal())
	}
	return codes
}
