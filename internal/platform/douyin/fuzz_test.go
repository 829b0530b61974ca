package douyin

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
)

// FuzzDecrypt: whatever a value and a secret are, what comes out can be printed; and what the
// platform encrypts comes out as it was.
func FuzzDecrypt(f *testing.F) {
	f.Add(encrypted(testSecret, "13812345678"), testSecret)
	f.Add("AAAAAAAAAAAAAAAAAAAAAA==", "")
	f.Add("13812345678", "中文")
	f.Fuzz(func(t *testing.T, value, secret string) {
		if len(secret) > 1000 {
			return
		}
		if got, decrypts := decryptLocal(value, secret); decrypts && !printable(got.Reveal()) || !decrypts && !got.IsZero() {
			t.Errorf("%q decrypts: %v", value, decrypts)
		}
		got, decrypts := decryptLocal(encrypted(secret, value), secret)
		if decrypts != printable(value) || decrypts && got.Reveal() != value {
			t.Errorf("%q comes back: %v", value, decrypts)
		}
	})
}

// FuzzInquiry: whatever is asked, and whatever is known of it, the answer is one of the scene's,
// what is recorded fits the API, and the same question gets the same answer.
func FuzzInquiry(f *testing.F) {
	for _, file := range golden.Inputs(f, "spi") {
		for _, k := range []string{`{}`, `{"Phase":"Issued","Confirmed":true}`, `{"Phase":"Used","Codes":{"h1:1":{"Used":1}}}`, `{"Recorded":{"x":{"Result":"Issued","CodeIDs":["h1:1"]}}}`} {
			f.Add(sceneOf(file), golden.Read(f, file), k, int64(1))
		}
	}
	f.Fuzz(func(t *testing.T, scene string, body []byte, is string, stock int64) {
		m, err := Adapter{}.Open(scenePush(scene, string(body), testSecret))
		if err != nil {
			return // FuzzOpen looks at these
		}
		i, asks := m.(platform.Inquiry)
		if !asks {
			return
		}
		var order platform.KnownOrder
		if json.Unmarshal([]byte(is), &order) != nil {
			return
		}
		k := known()
		k.Product = &platform.KnownProduct{State: platform.ProductOnSale, Stock: &stock}
		lookup := i.Asks()
		for _, id := range lookup.Orders {
			if k.Orders == nil {
				k.Orders = map[string]platform.KnownOrder{}
			}
			k.Orders[id] = order
		}
		for _, change := range []func(*Settings){nil, generate} {
			first, err := i.Answer(holder(change), k)
			if err != nil {
				if !errors.Is(err, platform.ErrMalformed) {
					t.Errorf("%v", err)
				}
				return
			}
			if code := codeOf(t, first.Reply); first.Reply.Status != 200 && code == 0 {
				t.Errorf("%d with code 0", first.Reply.Status)
			}
			if first.Recorded && len(first.Events) > 0 {
				t.Error("it was recorded, and is to be recorded")
			}
			for _, event := range first.Events {
				checkEvent(t, event)
			}
			again, err := i.Answer(holder(change), k)
			if err != nil || string(again.Reply.Body) != string(first.Reply.Body) || len(again.Events) != len(first.Events) {
				t.Errorf("asked again: %s, then %s (%v)", first.Reply.Body, again.Reply.Body, err)
			}
		}
	})
}

// FuzzReply: whatever the path, the outcome and the reason are, the reply is JSON that the
// platform reads, and accepts only what was accepted.
func FuzzReply(f *testing.F) {
	f.Add("events", "recorded", "")
	f.Add("spi/pre_create_order", "retry", "x")
	f.Add("spi/", "forged", "\xff")
	f.Fuzz(func(t *testing.T, path, outcome, why string) {
		reply := Adapter{}.Reply(path, platform.Outcome(outcome), why)
		accepted := platform.Outcome(outcome).Accepted()
		if !slices.Contains([]int{200, 400, 401, 403, 404, 413, 503}, reply.Status) || reply.ContentType != "application/json" || !json.Valid(reply.Body) {
			t.Fatalf("%d %s %s", reply.Status, reply.ContentType, reply.Body)
		}
		if strings.HasPrefix(path, prefixSPI) {
			if code := codeOf(t, reply); (code == 0) != accepted {
				t.Errorf("%s: %s", outcome, reply.Body)
			}
		} else if (reply.Status == 200) != accepted {
			t.Errorf("%s: %d", outcome, reply.Status)
		}
	})
}
