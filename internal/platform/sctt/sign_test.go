package sctt

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// digestOf and written are the rules once more, independently.
func digestOf(algorithm, text string) []byte {
	switch algorithm {
	case "MD5":
		sum := md5.Sum([]byte(text))
		return sum[:]
	case "SHA256":
		sum := sha256.Sum256([]byte(text))
		return sum[:]
	}
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func written(encoding string, digest []byte) string {
	switch encoding {
	case "UpperHex":
		return strings.ToUpper(hex.EncodeToString(digest))
	case "LowerHex":
		return hex.EncodeToString(digest)
	}
	return base64.StdEncoding.EncodeToString(digest)
}

// otherCase swaps the case of letters.
func otherCase(text string) string {
	if lower := strings.ToLower(text); lower != text {
		return lower
	}
	return strings.ToUpper(text)
}

const (
	testMessage  = "{merchant_id}|{request_time}|{order_status}|{remark}|{secret}"
	testRendered = "255456|2025-09-23 12:00:00|2||" + testSecret
)

func pushSigned(sign string) []byte {
	return fmt.Appendf(nil, `{"merchant_id":255456,"request_time":"2025-09-23 12:00:00","sign":%s,"order_code":5,"order_status":2}`, sign)
}

func block(algorithm, encoding, message string) string {
	raw, _ := json.Marshal(map[string]any{"signature": map[string]string{"algorithm": algorithm, "encoding": encoding, "message": message}})
	return string(raw)
}

// Every sign against every rule.
func TestVerify(t *testing.T) {
	for _, algorithm := range []string{"", "MD5", "SHA256", "HMACSHA256"} {
		for _, encoding := range []string{"UpperHex", "LowerHex", "Base64"} {
			right := written(encoding, digestOf(algorithm, testRendered))
			h := holder(settings(t, "{}"))
			if algorithm != "" {
				h = holder(settings(t, block(algorithm, encoding, testMessage)))
			}
			// forged unless the rule is unset; the case of hexadecimal digits is of no account.
			refused, hexadecimal := algorithm != "", encoding != "Base64"
			for _, tc := range []struct {
				name, sign string
				proof      platform.Proof // empty: forged
			}{
				{"absent", `null`, platform.ProofMissing},
				{"empty", `""`, platform.ProofMissing},
				{"right", quote(right), signedIf(refused, true)},
				{"other case", quote(otherCase(right)), signedIf(refused, hexadecimal)},
				{"wrong", quote(written(encoding, digestOf(algorithm, testRendered+"x"))), signedIf(refused, false)},
				{"a number", `5`, signedIf(refused, false)},
				{"blank", `" "`, signedIf(refused, false)},
				{"with a space", quote(right + " "), signedIf(refused, false)},
				{"cut", quote(right[:len(right)-1]), signedIf(refused, false)},
				{"the digest itself", quote(string(digestOf(algorithm, testRendered))), signedIf(refused, false)},
			} {
				proof, err := open(t, pathVoucher, pushSigned(tc.sign)).Verify(h)
				forged := errors.Is(err, platform.ErrForged)
				if proof != tc.proof || (tc.proof == "") != forged || !forged && err != nil {
					t.Errorf("%s %s, sign %s: %q, %v; want %q", algorithm, encoding, tc.name, proof, err, tc.proof)
				}
				if err != nil && (strings.Contains(err.Error(), right) || strings.Contains(err.Error(), testSecret)) {
					t.Errorf("%s %s, sign %s: the error shows what is right", algorithm, encoding, tc.name)
				}
			}
		}
	}
}

func signedIf(checked, right bool) platform.Proof {
	switch {
	case !checked:
		return platform.ProofUnchecked
	case right:
		return platform.ProofSigned
	}
	return ""
}

func quote(text string) string {
	raw, _ := json.Marshal(text)
	return string(raw)
}

// The cancel push is checked as the voucher push is.
func TestVerifyCancelPush(t *testing.T) {
	sign := written("LowerHex", digestOf("MD5", testMerchant+testSecret))
	h := holder(settings(t, block("MD5", "UpperHex", "{merchant_id}{secret}")))
	body := `{"merchant_id":"255456","sign":"` + sign + `","orderlist":[{"order_code":1,"cancel_status":3}]}`
	if proof, err := open(t, pathCancel, []byte(body)).Verify(h); proof != platform.ProofSigned || err != nil {
		t.Errorf("%q, %v", proof, err)
	}
}

func TestVerifyWithoutWhatItNeeds(t *testing.T) {
	rule := settings(t, `{"signature":`+testRule+`}`)
	sign := quote(written("UpperHex", digestOf("MD5", "2554562025-09-23 12:00:00"+testSecret)))
	for name, credentials := range map[string]platform.Credentials{
		"none": nil, "another key": {"clientSecret": sealing.NewSecret(testSecret)}, "blank": {keySecret: sealing.NewSecret(" \n")},
	} {
		h := platform.Holder{ID: testMerchant, Settings: rule, Credentials: credentials}
		_, err := open(t, pathVoucher, pushSigned(sign)).Verify(h)
		if !errors.Is(err, platform.ErrCredentials) || errors.Is(err, platform.ErrForged) || !strings.Contains(err.Error(), keySecret) {
			t.Errorf("%s: %v", name, err)
		}
		h.Settings = settings(t, "{}") // nothing to check by needs no secret
		if proof, err := open(t, pathVoucher, pushSigned(sign)).Verify(h); proof != platform.ProofUnchecked || err != nil {
			t.Errorf("%s, no rule: %q, %v", name, proof, err)
		}
	}
	_, err := open(t, pathVoucher, pushSigned(sign)).Verify(holder(nil))
	for _, told := range []error{platform.ErrForged, platform.ErrMalformed, platform.ErrCredentials, platform.ErrOtherAccount} {
		if err == nil || errors.Is(err, told) {
			t.Errorf("settings unusable: %v", err)
		}
	}
	if proof, err := open(t, pathVoucher, pushSigned("null")).Verify(holder(nil)); proof != platform.ProofMissing || err != nil {
		t.Errorf("settings unusable, no sign: %q, %v", proof, err)
	}
}

// White space at the secret's ends is of no account: a Secret made from a file has it.
func TestSecretIsTrimmed(t *testing.T) {
	h := holder(settings(t, block("MD5", "UpperHex", testMessage)))
	h.Credentials = platform.Credentials{keySecret: sealing.NewSecret(" " + testSecret + "\n")}
	sign := quote(written("UpperHex", digestOf("MD5", testRendered)))
	if proof, err := open(t, pathVoucher, pushSigned(sign)).Verify(h); proof != platform.ProofSigned || err != nil {
		t.Errorf("%q, %v", proof, err)
	}
}

// Another merchant's push is told so after its sign was checked, and without one too.
func TestVerifyOtherMerchant(t *testing.T) {
	rule := holder(settings(t, block("MD5", "UpperHex", testMessage)))
	none := holder(settings(t, "{}"))
	rule.ID, none.ID = "999", "999"
	right := quote(written("UpperHex", digestOf("MD5", testRendered)))
	for name, tc := range map[string]struct {
		sign string
		h    platform.Holder
		want error
	}{
		"signed":    {right, rule, platform.ErrOtherAccount},
		"forged":    {`"F00"`, rule, platform.ErrForged},
		"unchecked": {`"F00"`, none, platform.ErrOtherAccount},
		"unsigned":  {`""`, rule, platform.ErrOtherAccount},
	} {
		if _, err := open(t, pathVoucher, pushSigned(tc.sign)).Verify(tc.h); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	unnamed := []byte(`{"order_code":5,"order_status":2}`)
	if proof, err := open(t, pathVoucher, unnamed).Verify(none); proof != platform.ProofMissing || err != nil {
		t.Errorf("nobody's: %q, %v", proof, err)
	}
}

// A field of the template that is neither a text nor a number signs nothing.
func TestVerifyUnsignableField(t *testing.T) {
	h := holder(settings(t, block("MD5", "UpperHex", "{remark}{secret}")))
	m := open(t, pathVoucher, []byte(`{"sign":"F00","order_code":5,"order_status":2,"remark":["s3cret"]}`))
	_, err := m.Verify(h)
	if m.push.Fault() != "" {
		t.Errorf("the push keeps the fault %q", m.push.Fault())
	}
	if !errors.Is(err, platform.ErrForged) || !strings.Contains(err.Error(), "remark") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
}

func TestTemplates(t *testing.T) {
	message, _ := fields.Parse([]byte(`{"merchant_id":255456,"total_price":120.50,"surplus_quota":1E2,"order_code":9007199254740995,` +
		`"remark":"\u60a6 & \"<b>\"","trade_number":"","order_label":null,"cid":0,"order_status":-0}`))
	for text, want := range map[string]string{
		"{merchant_id}":                "255456",
		"{total_price}{surplus_quota}": "120.501E2",
		"{order_code}":                 "9007199254740995",
		"{remark}":                     `悦 & "<b>"`,
		"{trade_number}{order_label}{request_time}": "",
		"{cid}{order_status}":                       "0-0",
		"a={merchant_id}&key={secret}":              "a=255456&key=" + testSecret,
		"{secret}{secret}":                          testSecret + testSecret,
		"no field, 中文":                              "no field, 中文",
		"{merchant_id} {cid}\n":                     "255456 0\n",
	} {
		parsed, err := parseTemplate(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := parsed.render(message, sealing.NewSecret(testSecret)); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestSettings(t *testing.T) {
	for text, want := range map[string]Settings{
		"":     {Language: "zh-cn"},
		"null": {Language: "zh-cn"},
		"{}":   {Language: "zh-cn"},
		`{"language":"en-us","currency":"AUD","requestTimeZone":"-03:30"}`: {Language: "en-us", Currency: "AUD"},
	} {
		got := settings(t, text)
		if got.Language != want.Language || got.Currency != want.Currency || got.Signature != nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
	for text, want := range map[string]string{"": "+0800", "+08:00": "+0800", "-03:30": "-0330", "+00:00": "+0000", "+14:59": "+1459", "-14:00": "-1400"} {
		zone := settings(t, `{"requestTimeZone":"`+text+`"}`).Zone
		if got := testNow.In(zone).Format("-0700"); got != want {
			t.Errorf("zone %q is %s, want %s", text, got, want)
		}
	}
	if s := settings(t, `{"signature":`+testRule+`}`); s.Signature == nil {
		t.Error("the rule is not there")
	}
}

// What is wrong is named, by its field and its template's name.
func TestSettingsErrors(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                 "sctt block",
		`"x"`:                "sctt block",
		`{"language":5}`:     "sctt block",
		`{"signature":[]}`:   "sctt block",
		`{"currency":"ZZZ"}`: `currency "ZZZ"`, `{"currency":"aud"}`: "currency", `{"currency":"A$"}`: "currency", `{"currency":"RMB"}`: "currency",
		`{"requestTimeZone":"8"}`: `requestTimeZone "8"`, `{"requestTimeZone":"+0800"}`: "requestTimeZone", `{"requestTimeZone":"+15:00"}`: "requestTimeZone",
		`{"requestTimeZone":"Asia/Shanghai"}`: "requestTimeZone", `{"requestTimeZone":"+08:60"}`: "requestTimeZone", `{"requestTimeZone":"-99:00"}`: "requestTimeZone",
		`{"signature":{}}`:                                         "signature.algorithm",
		block("SHA1", "UpperHex", "{secret}"):                      `signature.algorithm is "SHA1", and not one of MD5, SHA256, HMACSHA256`,
		block("md5", "UpperHex", "{secret}"):                       "signature.algorithm",
		block("MD5", "Hex", "{secret}"):                            `signature.encoding is "Hex", and not one of UpperHex, LowerHex, Base64`,
		block("MD5", "", "{secret}"):                               "signature.encoding",
		block("MD5", "UpperHex", ""):                               "signature.message is empty",
		block("HMACSHA256", "UpperHex", ""):                        "signature.message is empty",
		block("MD5", "UpperHex", "{foo}{secret}"):                  "signature.message names {foo}, which is no top-level field of a call or push",
		block("MD5", "UpperHex", "{sign}{secret}"):                 "names {sign}",
		block("MD5", "UpperHex", "{vouchers}{secret}"):             "names {vouchers}",
		block("MD5", "UpperHex", "{subjoin}{secret}"):              "names {subjoin}",
		block("MD5", "UpperHex", "{orderlist}{secret}"):            "names {orderlist}",
		block("MD5", "UpperHex", "{cancels}{secret}"):              "names {cancels}",
		block("MD5", "UpperHex", "{category}{secret}"):             "names {category}",
		block("MD5", "UpperHex", "{Merchant_ID}{secret}"):          "names {Merchant_ID}",
		block("MD5", "UpperHex", "{ secret }"):                     "names { secret}",
		block("MD5", "UpperHex", "{{secret}}"):                     "names {{secret}",
		block("MD5", "UpperHex", "{merchant_id{secret}"):           "names {merchant_id{secret}",
		block("MD5", "UpperHex", "{}{secret}"):                     "names no field in {}",
		block("MD5", "UpperHex", "{secret}{merchant_id"):           "has a { without a }",
		block("MD5", "UpperHex", "{secret}{"):                      "has a { without a }",
		block("MD5", "UpperHex", "merchant_id}{secret}"):           "has a } without a {",
		block("MD5", "UpperHex", "{secret}}"):                      "has a } without a {",
		block("MD5", "UpperHex", "{merchant_id}"):                  "without it anyone could compute",
		block("SHA256", "Base64", "{merchant_id}"):                 "without it anyone could compute",
		block("SHA256", "Base64", "secret"):                        "without it anyone could compute",
		block("MD5", "UpperHex", "{"+strings.Repeat("x", 999)):     "has a { without a }",
		block("MD5", "UpperHex", "{"+strings.Repeat("x", 999)+"}"): "names {" + strings.Repeat("x", 64) + "}",
	} {
		got, err := Adapter{}.Settings(json.RawMessage(text))
		if err == nil || got != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want an error with %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		block("HMACSHA256", "Base64", "{merchant_id}"), block("HMACSHA256", "Base64", "constant"), block("SHA256", "LowerHex", "{secret}"),
	} {
		settings(t, text)
	}
}

// All names that the brief of the template allows, and no other.
func TestTemplateFields(t *testing.T) {
	all := strings.Fields("merchant_id request_time language key cid pageno pagesize product_id start_date end_date trade_number order_code " +
		"total_price order_label order_currency order_status certificate_mode travel_itinerary_url surplus_quota cancel_type remark")
	for _, name := range all {
		settings(t, block("MD5", "UpperHex", "{"+name+"}{secret}"))
	}
	if len(templateFields) != len(all) {
		t.Errorf("%d names, want %d", len(templateFields), len(all))
	}
}
