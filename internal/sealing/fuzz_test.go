package sealing_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// leftOver is what no scrubbed text may show: a link, a number of four digits, a word of four
// characters with a digit; full-width or in another script's digits neither.
var leftOver = regexp.MustCompile(`[A-Za-z]://\S|\p{Nd}{4}|[A-Za-zＡ-Ｚａ-ｚ\p{Nd}]{3}\p{Nd}|\p{Nd}[A-Za-zＡ-Ｚａ-ｚ\p{Nd}]{3}`)

// FuzzScrub: whatever a text and a secret are, the secret does not stand in what is shown, nor
// anything that looks like one, and what is shown is on one line, and as short as was asked for.
func FuzzScrub(f *testing.F) {
	f.Add("code A123 票券, call 138 0013 8000", "A123", uint8(20))
	f.Add("see https://x.example/qr?c=1 or www.x.cn/REALCODE-77", "x.example", uint8(3))
	f.Add("_http://host/path\x00\u2028", "host", uint8(255))
	f.Add("İopenİ", "OPEN", uint8(1))
	f.Add("say open\r\n\tsesame: 110\n101\n199\n001\n011\n23X", "open sesame", uint8(200))
	f.Add("abcabcabd, 138.001.380.00, x.cn？c=ABCD, ①③⑧⓪⓪①", "abcab", uint8(200))
	f.Add("手机１３８　００１３　８０００，券码：ａｂ１２３４", "Ａ１", uint8(200))
	f.Fuzz(func(t *testing.T, text, secret string, limit uint8) {
		scrubbed := sealing.Scrub(text, sealing.NewSecret(secret))
		if found := leftOver.FindString(scrubbed); found != "" {
			t.Errorf("Scrub(%q) = %q, which shows %q", text, scrubbed, found)
		}
		if strings.ContainsFunc(scrubbed, unicode.IsControl) || strings.Contains(scrubbed, "  ") {
			t.Errorf("Scrub(%q) = %q, which is not on one line", text, scrubbed)
		}
		excerpt := sealing.Excerpt(text, int(limit), sealing.NewSecret(secret))
		if n := utf8.RuneCountInString(excerpt); n > int(limit) || strings.ContainsFunc(excerpt, unicode.IsControl) {
			t.Errorf("Excerpt(%q, %d) = %q", text, limit, excerpt)
		}
		word := sealing.Word(text, int(limit), sealing.NewSecret(secret))
		if utf8.RuneCountInString(word) > int(limit) {
			t.Errorf("Word(%q, %d) = %q", text, limit, word)
		}
		sought := asciiLower(strings.Join(strings.Fields(secret), " "))
		if sought == "" || !utf8.ValidString(secret) || strings.ContainsAny(sought, "•[]") || strings.Contains("link", sought) {
			return // it could stand in what replaces it
		}
		for what, shown := range map[string]string{"Scrub": scrubbed, "Excerpt": excerpt} {
			if strings.Contains(asciiLower(shown), sought) {
				t.Errorf("%s(%q) = %q, which shows %q", what, text, shown, secret)
			}
		}
		if len(sought) > 5 && strings.Contains(asciiLower(word), sought) {
			t.Errorf("Word(%q) = %q, which shows %q", text, word, secret)
		}
	})
}

func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// FuzzHint: a hint shows one character of a code at most, and of a code of one character none.
func FuzzHint(f *testing.F) {
	for _, code := range []string{"", "A", "A1", "票券", "\xff\xfe", "•", "é"} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		first, masked := strings.CutSuffix(sealing.Hint(sealing.NewSecret(code)), "•••")
		if !masked || utf8.RuneCountInString(first) > 1 || !strings.HasPrefix(code, first) || first == code && code != "" {
			t.Errorf("Hint(%q) = %q•••", code, first)
		}
	})
}

// FuzzOpen: what was sealed and then changed, cut or added to anywhere does not open, and says
// nothing of what is in it.
func FuzzOpen(f *testing.F) {
	identity, err := sealing.NewIdentity()
	if err != nil {
		f.Fatal(err)
	}
	whole, err := sealing.SealFile([]byte("PLANTED"), identity)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0), uint8(0), uint16(0), []byte(nil))
	f.Add(uint16(21), uint8(1), uint16(0), []byte(nil))
	f.Add(uint16(0), uint8(0), uint16(1), []byte("\n-> X25519 PLANTED\n"))
	f.Fuzz(func(t *testing.T, at uint16, xor uint8, cut uint16, more []byte) {
		changed := bytes.Clone(whole)
		changed[int(at)%len(changed)] ^= xor
		changed = append(changed[:len(changed)-int(cut)%len(changed)], more...)
		content, err := sealing.OpenFile(changed, identity)
		if same := bytes.Equal(changed, whole); same != (err == nil) || same != (string(content) == "PLANTED") {
			t.Errorf("changed: %v, and opened: %q, %v", !same, content, err)
		}
		if _, err := sealing.Open(string(changed), identity); err == nil {
			t.Error("what is no base64 opened")
		}
	})
}
