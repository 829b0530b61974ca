package platform_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/internal/sealing/sealingtest"
)

// What passes the boundary holds codes, keys, tokens and raw bodies, and shows none however it
// is printed.
func TestBoundaryShowsNoSecrets(t *testing.T) {
	const planted = sealingtest.Planted
	secret := sealing.NewSecret(planted)
	code := platform.Code{ID: "c-1", Text: secret}
	holder := platform.Holder{ID: "1", Credentials: platform.Credentials{"clientSecret": secret}}
	push := platform.Push{Path: "events", Query: url.Values{"token": {planted}}, Header: http.Header{"X-Sign": {planted}}, Body: []byte(planted)}
	reply := platform.Reply{Status: 200, Body: []byte(planted)}
	order := &platform.OrderNotification{OrderID: "1", Content: []byte(planted), Reason: planted, Remark: planted, Codes: []platform.Code{code},
		Secrets: []sealing.Secret{secret}, Part: secret, Replied: &platform.Replied{Result: platform.ResultIssued, Body: []byte(planted)}}
	for name, value := range map[string]any{
		"Push": push, "Reply": reply, "Code": code, "Holder": holder, "Credentials": holder.Credentials,
		"Account":  platform.Account{Holder: holder, Endpoint: "https://x.test"},
		"Token":    platform.Token{Text: secret, Lasts: time.Hour},
		"Call":     platform.Call{Op: "x", URL: "https://x.test/?sign=" + planted, Header: http.Header{"Access-Token": {planted}}, Body: []byte(planted)},
		"Issue":    platform.Issue{OrderID: "1", Codes: []platform.Code{code}},
		"Decision": platform.Decision{OrderID: "1", Codes: []platform.Code{code}},
		"Order":    platform.Order{Codes: []platform.Code{code}},
	} {
		if _, noJSON := value.(platform.Account); noJSON { // it has a clock
			sealingtest.Unprinted(t, name, value)
			continue
		}
		if _, noJSON := value.(platform.Call); noJSON {
			sealingtest.Unprinted(t, name, value)
		}
		sealingtest.Hidden(t, name, value)
	}
	// Their JSON is what the golden files hold.
	for name, value := range map[string]any{
		"OrderNotification": *order, "Replied": *order.Replied, "Event": platform.Event{Order: order},
		"Answer": platform.Answer{Events: []platform.Event{{Order: order}}, Reply: reply},
	} {
		sealingtest.Unprinted(t, name, value)
	}
}
