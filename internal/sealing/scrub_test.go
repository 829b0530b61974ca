package sealing_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// White space of any kind, and however much of it, is one space: in the text, in the secret, and in what
// only looks like one.
func TestScrubTakesWhiteSpaceForOneSpace(t *testing.T) {
	secrets := []sealing.Secret{sealing.NewSecret("open sesame"), sealing.NewSecret("\t满房\r\n 口令\n")}
	for _, space := range []string{" ", "\n", "\t", "\r\n", "\v\f", "\u0085", "\u00a0", "\u2028\u2029", "　", " \n \t ", "\n\x00\n", " \u200b "} {
		for text, want := range map[string]string{
			"say open%sesame!":           "say •••!",
			"口令：满房%口令":                   "口令：•••",
			"id 110%101%199%001%011%23X": "id •••",
			"call 138%001%380%00":        "call •••",
			"line one%line two":          "line one line two",
		} {
			text = strings.ReplaceAll(text, "%", space)
			if got := sealing.Scrub(text, secrets...); got != want {
				t.Errorf("Scrub(%q) = %q, want %q", text, got, want)
			}
			if got := sealing.Excerpt(space+text+space, 100, secrets...); got != want {
				t.Errorf("Excerpt(%q) = %q, want %q", text, got, want)
			}
		}
	}
}

// Where secrets overlap, nothing of any stays; where one follows another, each is masked. So it is in a short
// text and in a long one.
func TestScrubHidesSecretsThatOverlap(t *testing.T) {
	var secrets []sealing.Secret
	for _, secret := range []string{"opens", "sesame", "Sesa", "mimi", "aha", "aha", "tree", "qwvk", "wvk", "v"} {
		secrets = append(secrets, sealing.NewSecret(secret))
	}
	for text, want := range map[string]string{
		"say opensesame.": "say •••.",
		"mimimi":          "•••",
		"qwvz":            "qw•••z",
		"ahatree":         "••••••",
		"sesa, sesam":     "•••, •••m",
		"满房openS满房":       "满房•••满房",
		"aha":             "•••",
	} {
		for _, before := range []string{"", strings.Repeat("满房 ", 1000)} {
			if got := sealing.Scrub(before+text, secrets...); got != before+want {
				t.Errorf("Scrub(%q) after %d bytes: %q, want %q", text, len(before), strings.TrimPrefix(got, before), want)
			}
		}
	}
}

// Whatever the secrets and the text are, what is left is what stands in none of them.
func TestScrubLeavesWhatStandsInNoSecret(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[abc]{1,5}`), 1, 8).Draw(t, "secrets")
		text := rapid.StringMatching(`[abcd]{0,30}`).Draw(t, "text")
		var secrets []sealing.Secret
		for _, word := range words {
			secrets = append(secrets, sealing.NewSecret(word))
		}
		want, end := "", 0
		for at := range text {
			length := 0
			for _, word := range words {
				if strings.HasPrefix(text[at:], word) {
					length = max(length, len(word))
				}
			}
			if length > 0 && at >= end {
				want += "•••"
			}
			if end = max(end, at+length); at >= end {
				want += text[at : at+1]
			}
		}
		for _, before := range []string{"", strings.Repeat("满房 ", 200)} {
			if got := strings.TrimPrefix(sealing.Scrub(before+text, secrets...), before); got != want {
				t.Errorf("Scrub(%q) after %d bytes: %q, want %q", text, len(before), got, want)
			}
		}
	})
}

// What looks like a telephone number or a link is one with circled digits, full-width signs, and full stops or
// slashes between the digits as well; days, amounts, versions and addresses are none.
func TestScrubByLooks(t *testing.T) {
	for text, want := range map[string]string{
		"call 138.001.380.00": "call •••",
		"138/001/380/00，谢谢":   "•••，谢谢",
		"手机138.00.13-80.00":   "手机•••",
		"手机①③⑧⓪⓪①③⑧⓪⓪⓪":       "手机•••",
		"⑴⑶⑻⑴⑴⑴ ❶❸❽➀➂➇➊➌➑ ⓵⓷⓿⒈⒊⒏": "•••",
		"券码Ⓐⓑ⒞①":                    "券码•••",
		"x.cn？c=ABCD":               "[link]",
		"ｘ．ｃｎ？ｃ＝ＡＢＣＤ＆ｄ":             "[link]",
		"x.cn：443/q":                "[link]",
		"见https：//x.cn：443/q 和 ａ＠ｂ": "见[link] 和 a@b",
		"满房①，退款②（⑩）：12.50":          "满房1，退款2（⑩）：12.50",

		"12.50":                       "12.50",
		"138.50、139.50":               "138.50、139.50",
		"12.50、13.50 or 14.50, 15.50": "12.50、13.50 or 14.50, 15.50",
		"v1.2.3.4":                    "v1.2.3.4",
		"1.2.3.4 and 10.20.30.40":     "1.2.3.4 and 10.20.30.40",
		"23/11/26, 11/23, 1/5":        "23/11/26, 11/23, 1/5",
		"19/11/26、20/11/26":           "19/11/26、20/11/26",
		"入住 3/5，2/2 间，满 100/减 10，198.00": "入住 3/5，2/2 间，满 100/减 10，198.00",
		"2026/11/23": "•••/11/23", // four digits may be a code
	} {
		if got := sealing.Scrub(text); got != want {
			t.Errorf("Scrub(%q) = %q, want %q", text, got, want)
		}
	}
	for _, day := range []string{"2026-11-23", "2026/11/23", "12.50", "1.2.3.4", "20261123"} {
		if got := sealing.Word(day, 32, sealing.NewSecret("11")); got != day {
			t.Errorf("Word(%q) = %q", day, got)
		}
	}
}

// Twice the text and twice the secrets take little more than twice the time, and so does that again, whether a text has all the secrets,
// or none of them, or they begin all alike.
func TestScrubTakesTimeInProportion(t *testing.T) {
	for name, of := range map[string]func(n int) (string, []sealing.Secret){
		"all stand in it": numbered,
		"none stands in it": func(n int) (string, []sealing.Secret) {
			_, secrets := numbered(n)
			return strings.Repeat("c000000y", n), secrets
		},
		"all are alike": func(n int) (string, []sealing.Secret) {
			return strings.Repeat("aaaaaaaa", n), slices.Repeat([]sealing.Secret{sealing.NewSecret("aaaaaaaz"), sealing.NewSecret("aaaa")}, n/2)
		},
		"each begins the next": func(n int) (string, []sealing.Secret) {
			text, secrets := "", []sealing.Secret(nil)
			for len(text) < 8*n {
				secrets = append(secrets, sealing.NewSecret(strings.Repeat("a", len(secrets)+1)))
				text += secrets[len(secrets)-1].Reveal()
			}
			return text + "b", secrets
		},
	} {
		t.Run(name, func(t *testing.T) {
			var ratios []float64
			for range 9 {
				ratios = append(ratios, scrubbing(t, of, 6000)/scrubbing(t, of, 1500))
			}
			if slices.Sort(ratios); ratios[len(ratios)/2] > 2.6*2.6 {
				t.Errorf("four times as much takes %.1f times as long", ratios)
			}
		})
	}
}

// scrubbing is how long the processor works on it, in seconds, at best of three: what the clock says is of
// other processes as well.
func scrubbing(t *testing.T, of func(int) (string, []sealing.Secret), n int) float64 {
	t.Helper()
	text, secrets := of(n)
	best := time.Hour
	for range 3 {
		start := worked(t)
		sealing.Scrub(text, secrets...)
		best = min(best, worked(t)-start)
	}
	return best.Seconds()
}

// worked is how long the processor has worked for this process.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// numbered are as many secrets, of eight characters, and a text that has each of them.
func numbered(n int) (text string, secrets []sealing.Secret) {
	var written strings.Builder
	for i := range n {
		code := fmt.Sprintf("c%06dz", i)
		written.WriteString(code)
		secrets = append(secrets, sealing.NewSecret(code))
	}
	return written.String(), secrets
}

// BenchmarkScrub is what a push pays: for a short remark with no secret and with few, and for what
// a push of many vouchers has.
func BenchmarkScrub(b *testing.B) {
	long, many := numbered(2000)
	for _, of := range []struct {
		name, text string
		secrets    []sealing.Secret
	}{
		{"none", "客人要求高楼层，请安排无烟房", nil},
		{"ascii", "the guest asks for a high floor", nil},
		{"two", "客人要求高楼层，券码 A123 已核销", many[:2]},
		{"forty", "客人要求高楼层，券码 A123 已核销", many[:40]},
		{"thousands", "客人要求高楼层，券码 A123 已核销", many},
		{"long", long, many},
	} {
		b.Run(of.name, func(b *testing.B) {
			for b.Loop() {
				sealing.Scrub(of.text, of.secrets...)
			}
		})
	}
}
