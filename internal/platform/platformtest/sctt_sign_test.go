package platformtest

import (
	"encoding/json"
	"testing"
)

// TestSCTTSignatures: the digests were made with md5sum, sha256sum and openssl.
func TestSCTTSignatures(t *testing.T) {
	fields := map[string]json.RawMessage{}
	must(t, json.Unmarshal([]byte(`{"merchant_id":255456,"request_time":"2024-02-22 10:00:00","total_price":120.50,"remark":null,"order_label":"a\u0041"}`), &fields))
	for name, c := range map[string]struct {
		signature SCTTSignature
		want      string
	}{
		"default": {DefaultSCTTSignature, "18568DA820BD2195F85B78D3F9F6F1B5"},
		"sha256":  {SCTTSignature{"SHA256", "LowerHex", "{merchant_id}{request_time}{secret}"}, "590d25f82d51ae351327d3a40d141c0fe66590b0cf41fa8a6a9d42149b84b008"},
		"hmac":    {SCTTSignature{"HMACSHA256", "Base64", "{merchant_id}|{total_price}|{remark}{trade_number}"}, "+1NXYeXEIRa06jiP6Pjvxi5m4hGRl92q28d2ALpTB50="},
	} {
		if err := c.signature.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := c.signature.sign("s3cret", fields); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if text := scttText(fields["order_label"]); text != "aA" {
		t.Errorf("a text is signed as %q", text)
	}
}

func TestSCTTSignatureMatches(t *testing.T) {
	for _, c := range []struct {
		encoding, sign, right string
		want                  bool
	}{
		{"UpperHex", "0aFF", "0AFF", true},
		{"LowerHex", "0aFF", "0aff", true},
		{"Base64", "AbC=", "AbC=", true},
		{"Base64", "abc=", "AbC=", false},
		{"UpperHex", "", "0AFF", false},
		{"UpperHex", "0AFF0", "0AFF", false},
	} {
		if got := (SCTTSignature{Encoding: c.encoding}).matches(c.sign, c.right); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func TestSCTTRefusedConfig(t *testing.T) {
	signature := func(algorithm, encoding, message string) SCTTConfig {
		return SCTTConfig{Signature: SCTTSignature{algorithm, encoding, message}}
	}
	for name, config := range map[string]SCTTConfig{
		"account":      {Account: "x"},
		"zone":         {Zone: "China"},
		"credit":       {Credit: "much"},
		"row id":       {Quirks: SCTTQuirks{RowID: "id"}},
		"channel path": {ChannelPath: "api/channels"},
		"with a query": {ChannelPath: "/api/channels/travel/sctt?token=t"},
		"algorithm":    signature("SHA1", "UpperHex", "{secret}"),
		"encoding":     signature("MD5", "Hex", "{secret}"),
		"no message":   signature("HMACSHA256", "Base64", ""),
		"no secret":    signature("MD5", "UpperHex", "{merchant_id}"),
		"field":        signature("MD5", "UpperHex", "{secret}{vouchers}"),
		"open brace":   signature("MD5", "UpperHex", "{secret}{merchant_id"),
		"empty brace":  signature("MD5", "UpperHex", "{secret}{}"),
	} {
		if _, err := NewSCTT(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
