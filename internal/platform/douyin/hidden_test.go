package douyin

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/internal/sealing/sealingtest"
)

// An opened push holds the body, with codes and telephone numbers; none shows it.
func TestMessagesShowNothing(t *testing.T) {
	const planted = sealingtest.Planted
	for path, body := range map[string]string{
		"events":                 `{"event":"life_trade_certificate_notify","client_key":"k","content":"{\"action\":\"verify\",\"certificate\":{\"order_id\":\"1\",\"certificate_id\":\"2\",\"code\":\"%[1]s\"}}"}`,
		"events?":                `{"event":"verify_webhook","client_key":"k","x":"%[1]s","content":{"challenge":1,"y":"%[1]s"}}`,
		"spi/issue_codes":        `{"order_id":"1","count":1,"phone":"%[1]s"}`,
		"spi/pre_create_order":   `{"sku_id":"1","phone":"%[1]s"}`,
		"spi/refund_apply":       `{"order_id":"1","certificates":[{"certificate_id":"2","code":"%[1]s"}]}`,
		"spi/refund_notice":      `{"order_id":"1","notice_list":[{"certificate_id":"2","code":"%[1]s"}]}`,
		"spi/status_query":       `{"order_ids":["1"],"x":"%[1]s"}`,
		"spi/member_info_update": `{"open_id":"1","update_time":1722175826,"encrypt_mobile":"%[1]s"}`,
	} {
		if path == "events?" {
			path = pathEvents
		}
		push := platform.Push{Path: path, Query: url.Values{"token": {planted}}, Header: http.Header{"X-Life-Sign": {planted}}, Body: fmt.Appendf(nil, body, planted)}
		message, err := Adapter{}.Open(push)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		sealingtest.Hidden(t, fmt.Sprintf("%T", message), message)
	}
}

// What goes out as JSON, and what reads an answer, shows nothing else.
func TestAnswersShowNothing(t *testing.T) {
	const planted = sealingtest.Planted
	code := platform.Code{ID: "1", Text: sealing.NewSecret(planted)}
	object, _ := fields.Parse([]byte(`{"code":"` + planted + `"}`))
	client, err := Adapter{}.NewClient(platform.Account{Holder: platform.Holder{ID: "k",
		Credentials: platform.Credentials{keySecret: sealing.NewSecret(planted), keyPrevious: sealing.NewSecret(planted)}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		"issued":       issued{status: success, Certificates: []issuedCode{{CertificateID: "1", Code: planted}}, Codes: []string{planted}},
		"issuedCode":   issuedCode{CertificateID: "1", Code: planted},
		"queriedOrder": queriedOrder{OrderID: "1", Codes: []string{planted}},
		"refundAudit":  auditOf(platform.Decision{OrderID: "1", Codes: []platform.Code{code}}),
		"coupon":       coupon{code}, "certificate": certificate{Code: code}, "place": place{within: object},
		"foundOrder": foundOrder{order: platform.Order{Codes: []platform.Code{code}}}, "Client": client,
		"reply": answered(issued{Codes: []string{planted}}),
	} {
		sealingtest.Unprinted(t, name, value)
	}
}
