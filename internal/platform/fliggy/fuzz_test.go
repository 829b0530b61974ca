package fliggy

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// FuzzSign: whatever is signed, the platform finds it right with the public key, and the ids of
// a call in any order are the same subject.
func FuzzSign(f *testing.F) {
	f.Add("20001", int64(1758600000500), "200,30")
	f.Add("", int64(-1), "\xff_\x00")
	s := signer{testKey()}
	f.Fuzz(func(t *testing.T, account string, millis int64, ids string) {
		list := strings.Split(ids, ",")
		subject := idsSubject(list)
		slices.Reverse(list)
		if again := idsSubject(list); again != subject {
			t.Errorf("%q, and backwards %q", subject, again)
		}
		text := signedText(account, millis, subject)
		if !strings.HasPrefix(text, account+"_") || !strings.HasSuffix(text, "_"+subject) {
			t.Errorf("signs %q", text)
		}
		signature, err := s.sign(text)
		if err != nil {
			t.Fatal(err)
		}
		checkSignature(t, text, signature)
	})
}

// FuzzKey: any text is a key that signs, or is refused without being quoted.
func FuzzKey(f *testing.F) {
	f.Add("")
	f.Add("-----BEGIN PRIVATE KEY-----PLANTED-----END PRIVATE KEY-----")
	f.Add("MIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6AgEAAkEA")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		s, err := newSigner(credentials(text))
		if err != nil {
			if !errors.Is(err, platform.ErrCredentials) || len(err.Error()) > 100 {
				t.Errorf("%v", err)
			}
			return
		}
		if _, err := s.sign("x"); err != nil {
			t.Error(err)
		}
	})
}

// FuzzReply: whatever the path, the outcome and the reason are, the reply is one of Fliggy's
// words, and "success" only where nothing is left to do.
func FuzzReply(f *testing.F) {
	f.Add("product-change", "recorded", "")
	f.Add("x", "malformed", "success")
	f.Fuzz(func(t *testing.T, path, outcome, why string) {
		reply := Adapter{}.Reply(path, platform.Outcome(outcome), why)
		body := string(reply.Body)
		switch {
		case (body == "success") != (reply.Status == 200), body == "success" && !platform.Outcome(outcome).Accepted(),
			(body == "retry later") != (reply.Status == 503),
			!slices.Contains([]string{"success", "error", "retry later"}, body), reply.ContentType != "text/plain; charset=utf-8":
			t.Errorf("%s: %d %s %q", outcome, reply.Status, reply.ContentType, body)
		}
	})
}
