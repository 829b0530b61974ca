package douyin

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// The vectors of the protocol's page.
const (
	vectorBody      = `{"event":"verify_webhook","client_key":"abc","content":{"challenge":12345}}`
	vectorSHA1      = "4a30097a68ab1558aa4572485629ace49f5d936b"
	vectorQuery     = "client_key=awtest&timestamp=1624293280123"
	vectorSceneBody = `{"order_id":"1","count":1}`
	vectorSHA256    = "8e2e4652c7f35fa314bd437733f70a28f4e5008be474e1074c6ce14bf5d1171a"
	vectorMD5       = "c1d6e524c29d7160a742549fb27973c1"
)

func TestVectors(t *testing.T) {
	if got := eventSign(testSecret, []byte(vectorBody)); got != vectorSHA1 {
		t.Errorf("the webhook's sign is %s", got)
	}
	query, err := url.ParseQuery(vectorQuery)
	if err != nil {
		t.Fatal(err)
	}
	text := sceneText(testSecret, query, "", []byte(vectorSceneBody))
	if want := testSecret + "&" + vectorQuery + "&http_body=" + vectorSceneBody; string(text) != want {
		t.Errorf("the text is %q, want %q", text, want)
	}
	if got := sceneSign(text); got != vectorSHA256 {
		t.Errorf("x-life-sign is %s", got)
	}
	if got := legacySign(text); got != vectorMD5 {
		t.Errorf("sign is %s", got)
	}
}

// What is signed of a URL: all but sign, by ascending keys and values, decoded.
func TestSceneText(t *testing.T) {
	for name, tc := range map[string]struct{ query, without, body, want string }{
		"no body":           {"b=2&a=1", "", "", "s&a=1&b=2"},
		"no parameters":     {"", "", "x", "s&http_body=x"},
		"sign is left out":  {"a=1&sign=x&z=3", "", "x", "s&a=1&z=3&http_body=x"},
		"in any case":       {"a=1&Sign=x&SIGN=y", "", "x", "s&a=1&http_body=x"},
		"repeated":          {"a=2&a=1&b=0", "", "x", "s&a=1&a=2&b=0&http_body=x"},
		"decoded":           {"a=%E4%B8%AD+x", "", "x", "s&a=中 x&http_body=x"},
		"token":             {"a=1&token=t", "", "x", "s&a=1&token=t&http_body=x"},
		"without the token": {"a=1&token=t", "token", "x", "s&a=1&http_body=x"},
		"upper case first":  {"b=1&B=2", "", "", "s&B=2&b=1"},
	} {
		query, err := url.ParseQuery(tc.query)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(sceneText("s", query, tc.without, []byte(tc.body))); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func eventPush(body, sign string) platform.Push {
	p := platform.Push{Path: pathEvents, Header: http.Header{}, Body: []byte(body), ReceivedAt: testNow}
	if sign != "" {
		p.Header.Set("X-Douyin-Signature", sign)
	}
	return p
}

func verify(t *testing.T, p platform.Push, h platform.Holder) (platform.Proof, error) {
	t.Helper()
	m, err := Adapter{}.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	return m.Verify(h)
}

const paidBody = `{"event":"life_trade_order_notify","client_key":"` + testKey + `","from_user_id":"","content":"{\"action\":\"pay_success\",\"msg_time\":1722175826,` +
	`\"order\":{\"order_id\":\"1\",\"account_id\":\"` + testAccount + `\"}}","msg_id":"m"}`

func TestVerifyEvent(t *testing.T) {
	right := eventSign(testSecret, []byte(paidBody))
	raw, err := hex.DecodeString(right)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		body, sign string
		want       error
	}{
		"right":                   {paidBody, right, nil},
		"upper-case hex":          {paidBody, strings.ToUpper(right), nil},
		"by the previous secret":  {paidBody, eventSign(oldSecret, []byte(paidBody)), nil},
		"by another secret":       {paidBody, eventSign("another", []byte(paidBody)), platform.ErrForged},
		"missing":                 {paidBody, "", platform.ErrForged},
		"wrong":                   {paidBody, strings.Repeat("0", 40), platform.ErrForged},
		"cut short":               {paidBody, right[:39], platform.ErrForged},
		"hex of the hex":          {paidBody, hex.EncodeToString([]byte(right)), platform.ErrForged},
		"base64 of the hex":       {paidBody, base64.StdEncoding.EncodeToString([]byte(right)), platform.ErrForged},
		"base64 of the digest":    {paidBody, base64.StdEncoding.EncodeToString(raw), platform.ErrForged},
		"one byte re-serialised":  {strings.Replace(paidBody, `","from`, `", "from`, 1), right, platform.ErrForged},
		"one byte less":           {strings.Replace(paidBody, `"from_user_id":"",`, `"from_user_id":null,`, 1), right, platform.ErrForged},
		"secret in the middle":    {paidBody, eventSign(paidBody, []byte(testSecret)), platform.ErrForged},
		"a space behind the sign": {paidBody, right + " ", platform.ErrForged},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			proof, err := verify(t, eventPush(tc.body, tc.sign), holder(nil))
			if err == nil && proof != platform.ProofSigned || !errors.Is(err, tc.want) {
				t.Errorf("Verify() = %v, %v; want %v", proof, err, tc.want)
			}
			checkNoSecret(t, err)
		})
	}
}

// checkNoSecret checks that an error shows nothing that it should not.
func checkNoSecret(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, secret := range []string{testSecret, oldSecret, testAccount, "s3cret"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q shows what it should not", err)
		}
	}
}

func TestVerifyWhose(t *testing.T) {
	foreign := strings.ReplaceAll(paidBody, testAccount, "1")
	other := strings.ReplaceAll(paidBody, testKey, "awother")
	sign := func(body string) string { return eventSign(testSecret, []byte(body)) }
	none := holder(nil)
	none.Credentials = platform.Credentials{keyPrevious: sealing.NewSecret(testSecret), keySecret: sealing.NewSecret(" \n")}
	spaced := holder(nil)
	spaced.Credentials = platform.Credentials{keySecret: sealing.NewSecret(" " + testSecret + "\n")}
	cases := map[string]struct {
		push   platform.Push
		holder platform.Holder
		want   error
	}{
		"another app":                     {eventPush(other, sign(other)), holder(nil), platform.ErrOtherAccount},
		"another app, forged":             {eventPush(other, sign(paidBody)), holder(nil), platform.ErrForged},
		"another merchant":                {eventPush(foreign, sign(foreign)), holder(nil), platform.ErrOtherAccount},
		"another merchant, forged":        {eventPush(foreign, sign(paidBody)), holder(nil), platform.ErrForged},
		"any merchant where none is told": {eventPush(foreign, sign(foreign)), holder(func(s *Settings) { s.AccountID = "" }), nil},
		"no secret":                       {eventPush(paidBody, sign(paidBody)), none, platform.ErrCredentials},
		"white space about the secret":    {eventPush(paidBody, sign(paidBody)), spaced, nil},
		"no settings":                     {eventPush(paidBody, sign(paidBody)), platform.Holder{ID: testKey, Credentials: holder(nil).Credentials}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := verify(t, tc.push, tc.holder)
			if !errors.Is(err, tc.want) {
				t.Errorf("Verify() = %v, want %v", err, tc.want)
			}
			checkNoSecret(t, err)
		})
	}
}

// The certificate's and the after-sale's events name the merchant too.
func TestVerifyWhoseByEvent(t *testing.T) {
	for event, content := range map[string]string{
		"life_trade_certificate_notify": `{"action":"verify","certificate":{"order_id":"1","certificate_id":"2","account_id":"3"}}`,
		eventAfterSale:                  `{"order_id":"1","certificate_id":"2","account_id":"3"}`,
		eventAfterSaleMisspelt:          `{"order_id":"1","certificate_id":"2","account_id":"3"}`,
	} {
		body := `{"event":"` + event + `","client_key":"` + testKey + `","content":` + content + `}`
		_, err := verify(t, eventPush(body, eventSign(testSecret, []byte(body))), holder(nil))
		if !errors.Is(err, platform.ErrOtherAccount) {
			t.Errorf("%s: %v", event, err)
		}
	}
}

const noticeBody = `{"order_id":"1","notice_list":[{"certificate_id":"2"}]}`

// scenePush is an SPI as the platform sends it: both signatures, by the secret.
func scenePush(scene, body, secret string) platform.Push {
	p := platform.Push{
		Path: prefixSPI + scene, Header: http.Header{}, Body: []byte(body), ReceivedAt: testNow,
		Query: url.Values{"client_key": {testKey}, "timestamp": {strconv.FormatInt(testNow.Add(-time.Second).UnixMilli(), 10)}},
	}
	return signScene(p, secret)
}

func signScene(p platform.Push, secret string) platform.Push {
	text := sceneText(secret, p.Query, "", p.Body)
	p.Header.Set("x-life-sign", sceneSign(text))
	p.Query.Set("sign", legacySign(text))
	return p
}

// altered is the push after a change that its signatures do not know of.
func altered(change func(*platform.Push)) platform.Push {
	p := scenePush(sceneRefundNotice, noticeBody, testSecret)
	change(&p)
	return p
}

// signedAfter is the push, signed after the change.
func signedAfter(change func(*platform.Push)) platform.Push {
	return signScene(altered(change), testSecret)
}

func stamp(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// Whoever has a scene and its sign, and not the secret, can make the sign of a longer text: the rule is
// no HMAC. No scene has that text.
func TestSignsAreNotLengthened(t *testing.T) {
	old := signScene(scenePush(sceneStatusQuery, `{"order_id":"1"}`, testSecret), testSecret)
	now := stamp(testNow)
	said := strings.TrimPrefix(string(sceneText("", old.Query, "", old.Body)), "&")
	before, _, _ := strings.Cut(said, "="+string(old.Body)) // up to the body's own name
	for name, sign := range map[string]struct {
		of     func([]byte) string
		digest hash.Hash
		header string // of the digest's state
		order  binary.AppendByteOrder
	}{
		"header": {sceneSign, sha256.New(), "sha\x03", binary.BigEndian},
		"legacy": {legacySign, md5.New(), "md5\x01", binary.LittleEndian},
	} {
		size := len(testSecret) + 1 + len(said)
		padding := sign.order.AppendUint64(append([]byte{0x80}, make([]byte, (119-size%64)%64)...), uint64(size)*8)
		sum, err := hex.DecodeString(sign.of([]byte(testSecret + "&" + said)))
		if err != nil {
			t.Fatal(err)
		}
		state := append(append([]byte(sign.header), sum...), make([]byte, 64)...)
		state = binary.BigEndian.AppendUint64(state, uint64(size+len(padding)))
		if name == "legacy" { // its state has its words in the other order
			for word := range 4 {
				slices.Reverse(state[4+4*word : 8+4*word])
			}
		}
		if err := sign.digest.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
			t.Fatal(err)
		}
		body := `{"order_ids":["2"]}`
		_, _ = sign.digest.Write([]byte("&timestamp=" + now + "&http_body=" + body))
		longer := platform.Push{Path: old.Path, Header: http.Header{}, Body: []byte(body), ReceivedAt: testNow,
			Query: url.Values{before: {string(old.Body) + string(padding)}, "timestamp": {now}}}
		got := hex.EncodeToString(sign.digest.Sum(nil))
		if want := sign.of(sceneText(testSecret, longer.Query, "", longer.Body)); got != want {
			t.Fatalf("%s: the test lengthens it wrongly: %s, not %s", name, got, want)
		}
		longer.Header.Set("x-life-sign", got)
		if name == "legacy" {
			longer.Header.Del("x-life-sign")
			longer.Query.Set("sign", got)
		}
		if _, err := verify(t, longer, holder(func(s *Settings) { s.AllowLegacySign = true })); !errors.Is(err, platform.ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No text is that of two scenes, however it is cut.
func TestTextsAreOfOneScene(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.StringOfN(rapid.SampledFrom([]rune("ab=&店")), 0, 4, -1)
		query := url.Values{}
		for range rapid.IntRange(0, 3).Draw(t, "parameters") {
			key := piece.Draw(t, "key")
			query[key] = append(query[key], piece.Draw(t, "value"))
		}
		body := rapid.SampledFrom([]string{"", "{}", "{}&a=b", "a&http_body={}"}).Draw(t, "body")
		text := string(sceneText("", query, "", []byte(body)))
		// The same text, cut at other places.
		cut, parts, whole := url.Values{}, strings.Split(text, "&")[1:], ""
		for i, part := range parts {
			if whole += part; i < len(parts)-1 && rapid.Bool().Draw(t, "together") {
				whole += "&"
				continue
			}
			key, value, found := strings.Cut(whole, "=")
			if whole = ""; !found {
				return
			}
			if rest, last, more := strings.Cut(value, "="); more && rapid.Bool().Draw(t, "later") {
				key, value = key+"="+rest, last
			}
			cut[key] = append(cut[key], value)
		}
		rest := ""
		if values := cut["http_body"]; len(values) == 1 && rapid.Bool().Draw(t, "body apart") {
			rest = values[0]
			delete(cut, "http_body")
		}
		if string(sceneText("", cut, "", []byte(rest))) != text || ambiguous(query) || ambiguous(cut) {
			return
		}
		for _, values := range []url.Values{query, cut} {
			for _, of := range values {
				slices.Sort(of)
			}
		}
		if rest != body || !maps.EqualFunc(query, cut, slices.Equal) {
			t.Fatalf("%q with %q, and %q with %q, are both %q", query, body, cut, rest, text)
		}
	})
}

func TestVerifyScene(t *testing.T) {
	legacy := func(s *Settings) { s.AllowLegacySign = true }
	noHeader := func(p *platform.Push) { p.Header.Del("x-life-sign") }
	cases := map[string]struct {
		push   platform.Push
		change func(*Settings)
		want   error
	}{
		"right":                        {scenePush(sceneRefundNotice, noticeBody, testSecret), nil, nil},
		"by the previous secret":       {scenePush(sceneRefundNotice, noticeBody, oldSecret), nil, nil},
		"by another secret":            {scenePush(sceneRefundNotice, noticeBody, "another"), legacy, platform.ErrForged},
		"upper-case hex":               {altered(func(p *platform.Push) { p.Header.Set("x-life-sign", strings.ToUpper(p.Header.Get("x-life-sign"))) }), nil, nil},
		"header alone":                 {altered(func(p *platform.Push) { p.Query.Del("sign") }), nil, nil},
		"the legacy sign is not read":  {altered(func(p *platform.Push) { p.Query.Set("sign", "wrong") }), legacy, nil},
		"a wrong header, legacy right": {altered(func(p *platform.Push) { p.Header.Set("x-life-sign", strings.Repeat("0", 64)) }), legacy, platform.ErrForged},
		"legacy alone, not allowed":    {altered(noHeader), nil, platform.ErrForged},
		"legacy alone, allowed":        {altered(noHeader), legacy, nil},
		"legacy wrong":                 {altered(func(p *platform.Push) { noHeader(p); p.Query.Set("sign", strings.Repeat("0", 32)) }), legacy, platform.ErrForged},
		"no sign at all":               {altered(func(p *platform.Push) { noHeader(p); p.Query.Del("sign") }), legacy, platform.ErrForged},
		"hex of the hex": {altered(func(p *platform.Push) {
			p.Header.Set("x-life-sign", hex.EncodeToString([]byte(p.Header.Get("x-life-sign"))))
		}), nil, platform.ErrForged},
		"base64 of the hex": {altered(func(p *platform.Push) {
			p.Header.Set("x-life-sign", base64.StdEncoding.EncodeToString([]byte(p.Header.Get("x-life-sign"))))
		}), nil, platform.ErrForged},
		"two ampersands": {altered(func(p *platform.Push) {
			text := string(sceneText(testSecret, p.Query, "", p.Body))
			p.Header.Set("x-life-sign", sceneSign([]byte(strings.Replace(text, "&", "&&", 1))))
		}), nil, platform.ErrForged},
		"body re-serialised":     {altered(func(p *platform.Push) { p.Body = []byte(strings.Replace(noticeBody, ":", ": ", 1)) }), legacy, platform.ErrForged},
		"a parameter more":       {altered(func(p *platform.Push) { p.Query.Set("x", "1") }), legacy, platform.ErrForged},
		"another time":           {altered(func(p *platform.Push) { p.Query.Set("timestamp", stamp(testNow)) }), legacy, platform.ErrForged},
		"two in one":             {signedAfter(func(p *platform.Push) { p.Query.Set("a", "1&b=2") }), legacy, platform.ErrForged},
		"two in one name":        {signedAfter(func(p *platform.Push) { p.Query.Set("a=1&b", "2") }), legacy, platform.ErrForged},
		"a name that has an end": {signedAfter(func(p *platform.Push) { p.Query.Set("a=1", "2") }), legacy, platform.ErrForged},
		"a body in the URL":      {signedAfter(func(p *platform.Push) { p.Query.Set("http_body", "{}") }), legacy, platform.ErrForged},
		"not to be printed":      {signedAfter(func(p *platform.Push) { p.Query.Set("a", "\x00") }), legacy, platform.ErrForged},
		"no text":                {signedAfter(func(p *platform.Push) { p.Query.Set("a", "\x80") }), legacy, platform.ErrForged},
		"a shop's own":           {signedAfter(func(p *platform.Push) { p.Query.Set("店 id", "a=b/c?广州") }), nil, nil},
		"several in our token":   {signedAfter(func(p *platform.Push) { p.Query.Set("token", "t&k") }), nil, nil},
		"strange in our token":   {signedAfter(func(p *platform.Push) { p.Query.Set("token", "t\x80\x00") }), legacy, platform.ErrForged},
		"our token, signed":      {signedAfter(func(p *platform.Push) { p.Query.Set("token", "t") }), nil, nil},
		"our token, unsigned":    {altered(func(p *platform.Push) { p.Query.Set("token", "t") }), nil, nil},
		"another's client_key":   {signedAfter(func(p *platform.Push) { p.Query.Set("client_key", "awother") }), nil, platform.ErrOtherAccount},
		"another key, forged":    {altered(func(p *platform.Push) { p.Query.Set("client_key", "awother") }), nil, platform.ErrForged},
		"the header's client_key is not read": {altered(func(p *platform.Push) {
			p.Header.Set("x-life-clientkey", "awother")
		}), nil, nil},
		"another merchant in the URL":  {signedAfter(func(p *platform.Push) { p.Query.Set("account_id", "1") }), nil, platform.ErrOtherAccount},
		"our merchant in the URL":      {signedAfter(func(p *platform.Push) { p.Query.Set("account_id", testAccount) }), nil, nil},
		"another merchant in the body": {scenePush(sceneRefundNotice, `{"order_id":"1","account_id":"2"}`, testSecret), nil, platform.ErrOtherAccount},
		"another merchant in the content": {scenePush(sceneMemberInfo,
			`{"content":{"open_id":"1","update_time":"1","account_id":"2"}}`, testSecret), nil, platform.ErrOtherAccount},
		"as old as may be":       {signedAfter(func(p *platform.Push) { p.Query.Set("timestamp", stamp(testNow.Add(-30*time.Minute))) }), nil, nil},
		"too old":                {signedAfter(func(p *platform.Push) { p.Query.Set("timestamp", stamp(testNow.Add(-30*time.Minute-time.Millisecond))) }), nil, platform.ErrForged},
		"as far ahead as may be": {signedAfter(func(p *platform.Push) { p.Query.Set("timestamp", stamp(testNow.Add(10*time.Minute))) }), nil, nil},
		"ahead of time":          {signedAfter(func(p *platform.Push) { p.Query.Set("timestamp", stamp(testNow.Add(10*time.Minute+time.Millisecond))) }), nil, platform.ErrForged},
		"too old, legacy": {altered(func(p *platform.Push) {
			p.Query.Set("timestamp", stamp(testNow.Add(-time.Hour)))
			*p = signScene(*p, testSecret)
			noHeader(p)
		}), legacy, platform.ErrForged},
		"time in seconds":   {signedAfter(func(p *platform.Push) { p.Query.Set("timestamp", strconv.FormatInt(testNow.Unix(), 10)) }), nil, nil},
		"no time":           {signedAfter(func(p *platform.Push) { p.Query.Del("timestamp") }), nil, platform.ErrForged},
		"time is none":      {signedAfter(func(p *platform.Push) { p.Query.Set("timestamp", "now") }), nil, platform.ErrForged},
		"time of 11 digits": {signedAfter(func(p *platform.Push) { p.Query.Set("timestamp", "17587000000") }), nil, platform.ErrForged},
		"time is negative":  {signedAfter(func(p *platform.Push) { p.Query.Set("timestamp", "-175860000000") }), nil, platform.ErrForged},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			proof, err := verify(t, tc.push, holder(tc.change))
			if err == nil && proof != platform.ProofSigned || !errors.Is(err, tc.want) {
				t.Errorf("Verify() = %v, %v; want %v", proof, err, tc.want)
			}
			checkNoSecret(t, err)
		})
	}
	p := scenePush(sceneRefundNotice, noticeBody, testSecret)
	if _, err := verify(t, p, platform.Holder{ID: testKey}); !errors.Is(err, platform.ErrCredentials) {
		t.Errorf("without a secret: %v", err)
	}
}

// FuzzSign: whatever the URL and the body are, a signature holds for them and for no other.
func FuzzSign(f *testing.F) {
	f.Add(vectorQuery, vectorSceneBody, vectorSHA256)
	f.Add("a=1&a=0&token=t&sign=x", "", "")
	f.Add("%zz", "{}", "\xff")
	f.Fuzz(func(t *testing.T, query, body, sign string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		p := platform.Push{Query: values, Body: []byte(body), Header: http.Header{headerSceneSign: {sign}, headerEventSign: {sign}}}
		rights := []string{sceneSign(sceneText(testSecret, values, "", p.Body)), sceneSign(sceneText(testSecret, values, paramToken, p.Body))}
		right := strings.EqualFold(sign, rights[0]) || values.Has(paramToken) && strings.EqualFold(sign, rights[1])
		if signedScene(p, []string{testSecret}, sign, sceneSign) != right {
			t.Errorf("signedScene() = %v", !right)
		}
		err = verifyEvent(p, platform.Credentials{keySecret: sealing.NewSecret(testSecret)})
		if forged := errors.Is(err, platform.ErrForged); forged == strings.EqualFold(sign, eventSign(testSecret, p.Body)) {
			t.Errorf("verifyEvent() = %v", err)
		}
	})
}
