package sealing_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func newSealer(t testing.TB) (sealer *sealing.Sealer, identity string) {
	t.Helper()
	identity, err := sealing.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := sealing.Recipients(identity)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err = sealing.NewSealer(recipients, sealing.NewCodeKey())
	if err != nil {
		t.Fatal(err)
	}
	return sealer, identity
}

func TestSealedBodyOpensExactlyAndOnlyWithItsIdentity(t *testing.T) {
	sealer, identity := newSealer(t)
	_, other := newSealer(t)
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		sealed, err := sealer.Seal(body)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := sealing.Open(sealed, identity)
		if err != nil || string(opened) != string(body) {
			t.Fatalf("opened %q, %v; want %q", opened, err, body)
		}
		if _, err := sealing.Open(sealed, other); err == nil {
			t.Fatal("another identity opened the body")
		}
	})
}

func TestCodeIDsAreKeyedAndStable(t *testing.T) {
	one, _ := newSealer(t)
	two, _ := newSealer(t)
	code := sealing.NewSecret("A1")
	if again := one.CodeID(sealing.NewSecret("A1")); again != one.CodeID(code) {
		t.Error("the same code has two ids")
	}
	if one.CodeID(code) == one.CodeID(sealing.NewSecret("A2")) {
		t.Error("two codes share an id")
	}
	if one.CodeID(code) == two.CodeID(code) {
		t.Error("the id does not depend on the key")
	}
}

func TestHintShowsOneCharacterAtMost(t *testing.T) {
	for code, want := range map[string]string{"A1": "A•••", "票券": "票•••", "X": "•••", "": "•••", "\xff\xfe": "•••"} {
		if got := sealing.Hint(sealing.NewSecret(code)); got != want {
			t.Errorf("Hint(%q) = %q, want %q", code, got, want)
		}
	}
}

func TestScrubTakesWhatCouldBeASecret(t *testing.T) {
	for text, want := range map[string]string{
		"out of stock":                        "out of stock",
		"code A1 refused":                     "code ••• refused",
		"see https://x.example/qr?c=1 please": "see [link] please",
		"id 11010119900101123X is wrong":      "id ••• is wrong",
		"call 138 0013 8000 now":              "call ••• now",
		"wait 300 seconds":                    "wait 300 seconds",
		"券码 REALCODE-77 已核销 www.x.cn/qr?c=1":  "券码 ••• 已核销 [link]",
		"see x.cn/qr?c=ABC":                   "see [link]",
		"code ABCDEFGH used":                  "code ••• used",
		"refund of T1 refused (system busy)":  "refund of T1 refused (system busy)",
	} {
		if got := sealing.Scrub(text, sealing.NewSecret("A1")); got != want {
			t.Errorf("Scrub(%q) = %q, want %q", text, got, want)
		}
	}
}

// What is written full-width, as Chinese keyboards do, or with other digits, is no way around;
// the rest of the text stays as it is.
func TestScrubKnowsOtherFormsOfASCII(t *testing.T) {
	secrets := []sealing.Secret{sealing.NewSecret("A1"), sealing.NewSecret("ｃ２")}
	for text, want := range map[string]string{
		"手机１３８００１３８０００，退款！":       "手机•••，退款！",
		"券码：ａｂ１２３４５６（已核销）":        "券码：ab•••（已核销）",
		"138\u00a00013\u00a08000": "•••",
		"１３８　００１－３８０":             "•••",
		"٠١٢٣٤٥٦٧٨٩ and 𝟏𝟑𝟖𝟎𝟎𝟏𝟑":  "••• and •••",
		"凭 Ａ１ 或 a1，c2":            "凭 ••• 或 •••，•••",
		"ＡＢＣＤＥＦＧＨ":                "•••",
		"ｗｗｗ．ｘ．ｃｎ／ｑｒ":             "[link]",
		"客人：２ 位，（ＶＩＰ）；满房":         "客人：2 位，（VIP）；满房",
	} {
		if got := sealing.Scrub(text, secrets...); got != want {
			t.Errorf("Scrub(%q) = %q, want %q", text, got, want)
		}
	}
	if got := sealing.Word("123456", 20, sealing.NewSecret("１２３４５６")); got != "•••" {
		t.Errorf("Word = %q", got)
	}
}

// unseen are characters that show nothing: a soft hyphen, joiners, marks of direction, selectors of
// variants, fillers, tags, a mark of the byte order, and controls.
var unseen = []rune("\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u200b\u200c\u200d\u200e\u202e\u2060\u2063\u2069\u3164\ufe0f\ufeff\uffa0\ufff9" +
	"\U000e0001\U000e0041\U000e0100\x00\x08\x1b\x7f\u0080")

// What nobody sees, wherever it stands in a secret, is no way around: neither in the text nor in the
// secret that is sought, nor in what only looks like one.
func TestScrubDropsWhatIsInvisible(t *testing.T) {
	for _, r := range unseen {
		for text, want := range map[string]string{
			"say op%en sesame":       "say •••",
			"%满房%口令%已用":              "•••已用",
			"手机138%0013%8000":        "手机•••",
			"ab%12%34":               "•••",
			"ｗｗｗ．ｘ．ｃｎ%／ｑｒ":           "[link]",
			"nothing %here":          "nothing here",
			"https:%//x.example/qr":  "[link]",
			"line one\nline t%wo\tx": "line one line two x",
		} {
			text = strings.ReplaceAll(text, "%", string(r))
			secrets := []sealing.Secret{sealing.NewSecret("open sesame"), sealing.NewSecret("满房" + string(r) + "口令"), sealing.NewSecret(string(r) + " ")}
			if got := sealing.Scrub(text, secrets...); got != want {
				t.Errorf("Scrub(%q) = %q, want %q", text, got, want)
			}
		}
	}
}

// Whatever the secret is, and wherever anything invisible is put into it, it is hidden.
func TestScrubFindsSecretsThroughWhatIsInvisible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[a-zA-Z0-9满房口令]{2,20}`).Draw(t, "secret")
		var written strings.Builder
		for _, r := range secret {
			written.WriteRune(r)
			written.WriteString(string(rapid.SliceOfN(rapid.SampledFrom(unseen), 0, 3).Draw(t, "unseen")))
		}
		if got := sealing.Scrub("券码 "+written.String()+" 已核销", sealing.NewSecret(secret)); got != "券码 ••• 已核销" {
			t.Errorf("Scrub(%q) = %q", written.String(), got)
		}
	})
}

func TestExcerptScrubsBeforeItCuts(t *testing.T) {
	if got := sealing.Excerpt("code A123 票券", 6, sealing.NewSecret("A123")); got != "code •" {
		t.Errorf("Excerpt = %q", got)
	}
}

func TestSecretShowsNothingHoweverItIsPrinted(t *testing.T) {
	secret := sealing.NewSecret("planted")
	inside := struct {
		S      sealing.Secret
		hidden sealing.Secret
	}{secret, secret}
	asJSON, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", secret, "inside", inside)
	texts := []string{string(asJSON), logged.String(), secret.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, inside), fmt.Sprintf(verb, &inside))
	}
	for _, text := range texts {
		if strings.Contains(text, "planted") || strings.Contains(strings.ToLower(text), "706c616e746564") {
			t.Errorf("shows itself: %s", text)
		}
	}
}

func TestSealerRefusesWhatItCannotUse(t *testing.T) {
	key := sealing.NewCodeKey()
	_, identity := newSealer(t)
	recipients, _ := sealing.Recipients(identity)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, unusable := range map[string][]string{
		"none":          nil,
		"nonsense":      {"age1nonsense"},
		"kinds mixed":   {recipients[0], hybrid.Recipient().String()},
		"of low order":  {"age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z"},                // 0
		"and one other": {recipients[0], "age1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqj7vrya"}, // 1
	} {
		if _, err := sealing.NewSealer(unusable, key); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := sealing.NewSealer(recipients, key[:8]); err == nil {
		t.Error("a short key for code ids was accepted")
	}
}

func TestScrubHidesWholeSecretsHoweverWritten(t *testing.T) {
	secrets := []sealing.Secret{sealing.NewSecret("open"), sealing.NewSecret("open sesame"), sealing.NewSecret("12"), sealing.NewSecret("1278"),
		sealing.NewSecret(" "), sealing.NewSecret("满房口令")}
	for text, want := range map[string]string{
		"say Open Sesame, or open": "say •••, or •••",
		"凭 1278 入园":                "凭 ••• 入园",
		"12 and 1278":              "••• and •••",
		"OPEN SESAME":              "•••",
		"口令是满房口令。":                 "口令是•••。",
		"a b":                      "a b",
		"İopenİ":                   "İ•••İ",
		"":                         "",
	} {
		if got := sealing.Scrub(text, secrets...); got != want {
			t.Errorf("Scrub(%q) = %q, want %q", text, got, want)
		}
	}
}
