package sctt

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// FuzzSign: by whatever rule, what is signed is signed the same each time, only the right sign
// passes, and another secret gives another.
func FuzzSign(f *testing.F) {
	for _, file := range golden.Inputs(f, "push") {
		f.Add(uint8(0), uint8(0), "{merchant_id}{request_time}{secret}", golden.Read(f, file), testSecret)
	}
	f.Add(uint8(2), uint8(2), "{key}|{remark}", []byte(`{"key":"\ud800","remark":null}`), "x")
	f.Add(uint8(1), uint8(1), "{secret}{secret}{total_price}", []byte(`{"total_price":1e400}`), "{secret}")
	f.Fuzz(func(t *testing.T, algorithm, encoding uint8, template string, body []byte, text string) {
		rule, err := newSignature(algorithms[int(algorithm)%len(algorithms)], encodings[int(encoding)%len(encodings)], template)
		message, parses := fields.Parse(body)
		if err != nil || !parses || text == "" || len(text) > 64 {
			return
		}
		secret, other := sealing.NewSecret(text), sealing.NewSecret(text+"x")
		sign, err := rule.sign(message, secret)
		if err != nil {
			if len(err.Error()) > 100 || strings.Contains(err.Error(), testSecret) {
				t.Errorf("%q quotes", err)
			}
			return
		}
		if again, err := rule.sign(message, secret); err != nil || !rule.equal(sign, again) {
			t.Errorf("signed anew it is another: %v", err)
		}
		for _, wrong := range []string{"", sign + "A", sign[1:], strings.Repeat("A", len(sign))} {
			if rule.equal(wrong, sign) && !strings.EqualFold(wrong, sign) {
				t.Errorf("%q passes for %q", wrong, sign)
			}
		}
		if changed, err := rule.sign(message, other); err != nil || rule.equal(sign, changed) {
			t.Errorf("with another secret it is the same, %v", err)
		}
	})
}

// FuzzSettings: any block is settings that can be worked with, or refused with a reason.
func FuzzSettings(f *testing.F) {
	for _, block := range []string{``, `{}`, `null`, `{"language":"en-us","currency":"AUD","requestTimeZone":"-03:30"}`, `{"signature":` + testRule + `}`,
		`{"requestTimeZone":"+14:59"}`, `{"signature":{}}`, `[]`} {
		f.Add([]byte(block))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		read, err := Adapter{}.Settings(block)
		if err != nil {
			if len(err.Error()) > 300 {
				t.Errorf("%q quotes", err)
			}
			return
		}
		s, is := read.(Settings)
		if !is || s.Zone == nil || s.Language == "" || s.Currency != "" && len(s.Currency) != 3 {
			t.Fatalf("%+v", read)
		}
		if _, err := newClient(platform.Account{Holder: holder(s), Endpoint: "https://x.example"}, nil); err != nil &&
			!errors.Is(err, platform.ErrSettings) && !errors.Is(err, platform.ErrCredentials) {
			t.Errorf("%v", err)
		}
	})
}

// FuzzReply: whatever is wrong with a push, it is told so in SCTT's dialect, and code 0 only
// where nothing is left to do.
func FuzzReply(f *testing.F) {
	f.Add("order-voucher", "malformed", `malformed push: "},{"code":0`)
	f.Add("", "recorded", "\xff\x00\u2028</script>")
	f.Fuzz(func(t *testing.T, path, outcome, why string) {
		reply := Adapter{}.Reply(path, platform.Outcome(outcome), why)
		var body map[string]json.RawMessage
		if err := json.Unmarshal(reply.Body, &body); err != nil || len(body) != 3 || string(body["data"]) != "null" || reply.ContentType != "application/json" {
			t.Fatalf("%s %s: %v", reply.ContentType, reply.Body, err)
		}
		var code int
		var msg string
		if json.Unmarshal(body["code"], &code) != nil || json.Unmarshal(body["msg"], &msg) != nil || msg == "" {
			t.Fatalf("%s", reply.Body)
		}
		accepted := platform.Outcome(outcome).Accepted()
		if (code == 0) != accepted || (reply.Status == 200) != accepted || !slices.Contains([]int{200, 400, 403, 404, 413, 503}, reply.Status) {
			t.Errorf("%s: %d %s", outcome, reply.Status, reply.Body)
		}
	})
}
