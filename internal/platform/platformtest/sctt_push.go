package platformtest

import (
	"bytes"
	"context"
	_ "embed" // for the printed sample
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"
)

// scttSample is the voucher push as the platform prints it, byte for byte: with comments
// and trailing commas, and without merchant_id, request_time and sign.
//
//go:embed testdata/sctt-voucher-push.txt
var scttSample []byte

// SCTTSample is the printed sample of a voucher push.
func SCTTSample() []byte { return bytes.Clone(scttSample) }

// Signed is a push as it goes to the common path, made now: with merchant_id, request_time
// and sign, as the page's table has them. A body that is no JSON object stays as it is.
func (f *SCTT) Signed(content []byte) []byte { return f.SignedAt(content, time.Now()) }

// SignedAt is Signed, made at the time: the same content at another time is a resend.
func (f *SCTT) SignedAt(content []byte, at time.Time) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(content, &fields) != nil || fields == nil {
		return content
	}
	requestTime := mustMarshal(at.In(f.zone).Format(time.DateTime))
	fields["merchant_id"], fields["request_time"] = json.RawMessage(f.config.Account), requestTime
	var whole bytes.Buffer
	whole.WriteString(`{"merchant_id":` + f.config.Account + `,"request_time":` + string(requestTime) + `,"sign":`)
	whole.Write(mustMarshal(f.config.Signature.sign(f.Secret(), fields)))
	if rest := bytes.TrimSpace(content)[1:]; bytes.HasPrefix(bytes.TrimSpace(rest), []byte("}")) {
		whole.Write(rest)
	} else {
		whole.WriteByte(',')
		whole.Write(rest)
	}
	return whole.Bytes()
}

// Send signs the content of a push and sends it to the path tail, SCTTVoucherPath or
// SCTTCancelPath. Sent again, it has a new request_time and sign.
func (f *SCTT) Send(ctx context.Context, tail string, content []byte) Delivery {
	return f.Push(ctx, tail, f.Signed(content))
}

// SendToChannel sends the content as it is printed, without merchant, time and sign, to
// the Channel's own path.
func (f *SCTT) SendToChannel(ctx context.Context, tail string, content []byte) Delivery {
	return f.Push(ctx, f.config.ChannelPath+"/"+tail, content)
}

// SendSample sends the printed sample to the Channel's own path.
func (f *SCTT) SendSample(ctx context.Context) Delivery {
	return f.SendToChannel(ctx, SCTTVoucherPath, scttSample)
}

// Push sends a body as it is to the path tail, or to a whole path that begins with a slash,
// and tries again with the same bytes until the reply is a 200 with code 0, RetryEvery apart
// and five times at most; all of this is UNKNOWN.
func (f *SCTT) Push(ctx context.Context, to string, body []byte) Delivery {
	return f.courier.push(ctx, letter{path: to, contentType: "application/json", kind: path.Base(to), body: body, rules: &rules{
		pauses: slices.Repeat([]time.Duration{f.retryEvery()}, scttTries-1),
		judge:  SCTTVerdict,
		again:  func(verdict Verdict, _ bool) bool { return verdict != Accepted },
	}})
}

func (f *SCTT) retryEvery() time.Duration {
	if f.config.RetryEvery > 0 {
		return f.config.RetryEvery
	}
	return time.Second
}

// SCTTMerchant is the merchant_id that a push names; empty if it names none.
func SCTTMerchant(body []byte) string {
	var head struct {
		MerchantID json.RawMessage `json:"merchant_id"`
	}
	_ = json.Unmarshal(body, &head) // a raw push may be anything
	return strings.TrimSpace(scttText(head.MerchantID))
}
