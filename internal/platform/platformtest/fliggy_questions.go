package platformtest

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	idPattern        = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
	timestampPattern = regexp.MustCompile(`^[0-9]{13}$`)
)

// isID reports whether the text can stand for one of the platform's Long ids.
func isID(text string) bool {
	_, err := strconv.ParseInt(text, 10, 64)
	return err == nil && idPattern.MatchString(text)
}

// fliggyQuestion is the body of any question. Types are the documented ones; only the
// distributorId is taken as a number or a text, because the document says Long and its
// own sample quotes it.
type fliggyQuestion struct {
	DistributorID       either   `json:"distributorId"`
	Timestamp           int64    `json:"timestamp"`
	Sign                string   `json:"sign"`
	PageNo              int      `json:"pageNo"`
	PageSize            int      `json:"pageSize"`
	ProductIDs          []string `json:"productIds"`
	ProductID           string   `json:"productId"`
	BeginTime           *int64   `json:"beginTime"`
	EndTime             *int64   `json:"endTime"`
	OrderID             *int64   `json:"orderId"`
	OutOrderID          string   `json:"outOrderId"`
	DistributorRefundID string   `json:"distributorRefundId"`
}

// either reads a JSON number or string as its text.
type either string

func (e *either) UnmarshalJSON(raw []byte) error {
	*e = either(bytes.Trim(raw, `"`))
	return nil
}

// readFliggyQuestion decodes a body: 5004 where it is no JSON object, 5003 where a
// parameter has another type than the documented one (INFER).
func readFliggyQuestion(body []byte) (fliggyQuestion, error) {
	var q fliggyQuestion
	err := json.Unmarshal(body, &q)
	if wrongType, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrongType.Field != "" {
		return q, fliggyFailure{"5003", wrongType.Field + " has the wrong type"}
	}
	if err != nil {
		return q, fliggyFailure{"5004", "not a JSON object"}
	}
	return q, nil
}

// subject is what the call log says the question was about.
func (q fliggyQuestion) subject() string {
	subject := q.ProductID
	switch {
	case q.OrderID != nil:
		subject = strconv.FormatInt(*q.OrderID, 10)
	case q.OutOrderID != "":
		subject = q.OutOrderID
	case len(q.ProductIDs) > 0:
		subject = fmt.Sprintf("%d ids", len(q.ProductIDs))
	case q.PageNo != 0:
		subject = fmt.Sprintf("page %d of %d", q.PageNo, q.PageSize)
	}
	return subject[:min(len(subject), 64)]
}

// fliggyEndpoint is one question: what is signed behind "distributorId_timestamp_"
// (any of the texts is good), and what it answers. answer runs under the fake's lock.
type fliggyEndpoint struct {
	signed func(*Fliggy, fliggyQuestion) []string
	answer func(*Fliggy, fliggyQuestion) (any, error)
}

// fliggyEndpoints by name (DOC). The ordering calls (validateOrder, createOrder,
// cancelOrder, refundOrder) are not part of the fake: this project places no orders.
var fliggyEndpoints = map[string]fliggyEndpoint{
	"queryProductBaseInfoByPage": {signedNothing, (*Fliggy).answerPage},
	"queryProductBaseInfoByIds":  {signedProductIDs, (*Fliggy).answerByIDs},
	"queryProductDetailInfo":     {signedProductID, (*Fliggy).answerDetail},
	"queryProductPriceStock":     {signedProductID, (*Fliggy).answerPriceStock},
	"searchOrder":                {signedOrderID, (*Fliggy).answerOrder},
	"searchRefundOrder":          {signedRefundOrderID, (*Fliggy).answerRefunds},
}

func signedNothing(*Fliggy, fliggyQuestion) []string { return []string{""} }

func signedProductID(_ *Fliggy, q fliggyQuestion) []string { return []string{q.ProductID} }

// signedProductIDs sorts as text, not as numbers (DOC: dictionary order).
func signedProductIDs(_ *Fliggy, q fliggyQuestion) []string {
	return []string{strings.Join(slices.Sorted(slices.Values(q.ProductIDs)), ",")}
}

func signedOrderID(_ *Fliggy, q fliggyQuestion) []string {
	if q.OrderID == nil {
		return []string{""}
	}
	return []string{strconv.FormatInt(*q.OrderID, 10)}
}

// signedRefundOrderID is printed with a trailing underscore, probably a typo: a client
// was seen signing without. Which of them the platform takes is UNKNOWN.
func signedRefundOrderID(f *Fliggy, q fliggyQuestion) []string {
	plain := signedOrderID(f, q)[0]
	printed := plain + "_"
	if q.OrderID == nil {
		printed = plain
	}
	switch f.quirks.RefundSign {
	case "printed":
		return []string{printed}
	case "plain":
		return []string{plain}
	default:
		return []string{printed, plain}
	}
}

// answer checks who asks and answers. The order of checks is signature, then
// authorisation (DOC), then parameters (INFER).
func (f *Fliggy) answer(endpoint fliggyEndpoint, q fliggyQuestion) (any, error) {
	if err := f.checkSender(endpoint, q); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return endpoint.answer(f, q)
}

// checkSender checks account, time and signature. The codes of a foreign account and
// of an old timestamp are INFER.
func (f *Fliggy) checkSender(endpoint fliggyEndpoint, q fliggyQuestion) error {
	timestamp := strconv.FormatInt(q.Timestamp, 10)
	if q.DistributorID == "" || !timestampPattern.MatchString(timestamp) {
		return fliggyFailure{"5003", "distributorId and a timestamp of 13 digits are needed"}
	}
	if string(q.DistributorID) != f.account {
		return fliggyFailure{"4003", ""}
	}
	if age := time.Since(time.UnixMilli(q.Timestamp)); age > fliggyValidity || age < -fliggyValidity {
		return fliggyFailure{"5001", "the timestamp is not within 10 minutes"}
	}
	for _, tail := range endpoint.signed(f, q) {
		if f.verifies(f.account+"_"+timestamp+"_"+tail, q.Sign) {
			return nil
		}
	}
	return fliggyFailure{"5001", ""}
}

// verifies checks base64(SHA256withRSA(text)), padded and without line breaks (DOC).
func (f *Fliggy) verifies(text, sign string) bool {
	signature, err := base64.StdEncoding.Strict().DecodeString(sign)
	if err != nil || strings.ContainsAny(sign, "\r\n") {
		return false
	}
	digest := sha256.Sum256([]byte(text))
	return rsa.VerifyPKCS1v15(&f.key.PublicKey, crypto.SHA256, digest[:], signature) == nil
}

// fliggyFailure is a documented code and, if need be, more than its own text.
type fliggyFailure struct{ code, detail string }

func (e fliggyFailure) Error() string { return e.code + " " + e.message() }

func (e fliggyFailure) message() string {
	if e.detail != "" {
		return fliggyTexts[e.code] + ": " + e.detail
	}
	return fliggyTexts[e.code]
}

// fliggyTexts are the meanings of the codes (DOC, in our words).
var fliggyTexts = map[string]string{
	"9000": "service unavailable", "5001": "signature check failed", "5002": "not authorised",
	"5003": "parameter check failed", "5004": "data format error",
	"4001": "interface data not configured", "4002": "no contract", "4003": "distributor unavailable",
	"4004": "no product authorised", "4005": "no product found", "4006": "product not distributable",
	"4007": "product has no price or stock", "4010": "beyond the last page", "4104": "query failed",
	"6001": "contract wrong or expired", "7004": "no such order",
}
