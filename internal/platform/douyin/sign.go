package douyin

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// The keys of the credentials Secret.
const (
	keySecret   = "clientSecret"
	keyPrevious = "previousClientSecret"
)

// The headers of signatures, in the form that http.Header has them.
const (
	headerEventSign = "X-Douyin-Signature"
	headerSceneSign = "X-Life-Sign"
)

// paramSign is the legacy signature among the parameters of an SPI's URL. It takes no
// part in what is signed, in whatever case it is written (documented; the case inferred).
const paramSign = "sign"

// paramBody is the body's name in what is signed. No parameter of the URL has it.
const paramBody = "http_body"

// paramToken may stand in a registered URL: it is the Channel's own (spec.receive).
const paramToken = "token"

// How far an SPI's timestamp may be from when it came. The platform documents no window
// (unknown), so this one is ours: its longest documented retry spacing is four minutes.
const (
	maxAge   = 30 * time.Minute
	maxAhead = 10 * time.Minute
)

// secrets of an account: the current one and, during a rotation, the one before.
func secretsOf(credentials platform.Credentials) ([]string, error) {
	current := strings.TrimSpace(credentials[keySecret].Reveal())
	if current == "" {
		return nil, fmt.Errorf("%w: %s is missing", platform.ErrCredentials, keySecret)
	}
	secrets := []string{current}
	if previous := strings.TrimSpace(credentials[keyPrevious].Reveal()); previous != "" && previous != current {
		secrets = append(secrets, previous)
	}
	return secrets, nil
}

// eventSign is lower-case hex of SHA-1 over the secret and the raw body (documented): no
// HMAC, nothing between the two.
func eventSign(secret string, body []byte) string {
	digest := sha1.New()
	digest.Write([]byte(secret))
	digest.Write(body)
	return hex.EncodeToString(digest.Sum(nil))
}

// sceneText is what an SPI signs (documented): the secret, all parameters of the URL but
// sign by ascending keys, and the raw body, joined by single ampersands. Inferred: the
// values are as decoded, those of one key ascend, and an empty body has no part. without
// leaves out one more parameter.
func sceneText(secret string, query url.Values, without string, body []byte) []byte {
	text := []byte(secret)
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if strings.EqualFold(key, paramSign) || key == without {
			continue
		}
		for _, value := range slices.Sorted(slices.Values(query[key])) {
			text = append(append(append(append(text, '&'), key...), '='), value...)
		}
	}
	if len(body) > 0 {
		text = append(append(text, "&"+paramBody+"="...), body...)
	}
	return text
}

// ambiguous: the text that is signed joins parameters by ampersands and escapes none, so that one
// with an ampersand in it would give the text of several others. And since the sign is no HMAC,
// whoever has one, however old, can make that of a longer text, which has bytes between the two
// that no text has (the hash's padding). What could hide either is refused. Our own token alone may have
// an ampersand: it stands after the timestamp, and what is cut out of it is no body.
func ambiguous(query url.Values) bool {
	strange := func(text string) bool { return !utf8.ValidString(text) || strings.ContainsFunc(text, unprintable) }
	several := func(text string) bool { return strings.Contains(text, "&") }
	for key, values := range query {
		if key == "" || key == paramBody || strange(key) || strings.ContainsAny(key, "&=") || slices.ContainsFunc(values, strange) ||
			key != paramToken && slices.ContainsFunc(values, several) {
			return true
		}
	}
	return false
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// sceneSign is x-life-sign: lower-case hex of SHA-256 (documented), no HMAC.
func sceneSign(text []byte) string {
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}

// legacySign is the URL's sign: lower-case hex of MD5 over the same text (inferred, and
// verified on a real callback).
func legacySign(text []byte) string {
	digest := md5.Sum(text)
	return hex.EncodeToString(digest[:])
}

// sameSign compares hex without regard to case, in constant time.
func sameSign(gotSign, wantSign string) bool {
	return subtle.ConstantTimeCompare([]byte(strings.ToLower(gotSign)), []byte(wantSign)) == 1
}

func forged(text string) error { return fmt.Errorf("%w: %s", platform.ErrForged, text) }

// verifyEvent checks a webhook's signature.
func verifyEvent(p platform.Push, credentials platform.Credentials) error {
	secrets, err := secretsOf(credentials)
	if err != nil {
		return err
	}
	sign := p.Header.Get(headerEventSign)
	if sign == "" {
		return forged(headerEventSign + " is missing")
	}
	for _, secret := range secrets {
		if sameSign(sign, eventSign(secret, p.Body)) {
			return nil
		}
	}
	return forged(headerEventSign + " is wrong")
}

// verifyScene checks an SPI's signature and that it is fresh. A header that is there must
// be right; only without one the legacy sign counts, where the Channel allows it.
func verifyScene(p platform.Push, credentials platform.Credentials, legacy bool) error {
	secrets, err := secretsOf(credentials)
	if err != nil {
		return err
	}
	if ambiguous(p.Query) {
		return forged("a parameter of the URL could be read as several, or is none that a platform sends")
	}
	sign, name, rule := p.Header.Get(headerSceneSign), headerSceneSign, sceneSign
	if sign == "" && legacy {
		sign, name, rule = legacySignOf(p.Query), paramSign, legacySign
	}
	if sign == "" {
		return forged(name + " is missing")
	}
	if !signedScene(p, secrets, sign, rule) {
		return forged(name + " is wrong")
	}
	return fresh(p)
}

// signedScene tries the secrets and, where the URL has our own token in it, both with it
// and without: which of the two the platform signs is unknown.
func signedScene(p platform.Push, secrets []string, sign string, rule func([]byte) string) bool {
	for _, secret := range secrets {
		if sameSign(sign, rule(sceneText(secret, p.Query, "", p.Body))) {
			return true
		}
		if p.Query.Has(paramToken) && sameSign(sign, rule(sceneText(secret, p.Query, paramToken, p.Body))) {
			return true
		}
	}
	return false
}

func legacySignOf(query url.Values) string {
	for key, values := range query {
		if strings.EqualFold(key, paramSign) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// fresh checks the timestamp, which the signature covers.
func fresh(p platform.Push) error {
	at := sentAt(p.Query)
	switch {
	case at.IsZero():
		return forged("timestamp is missing or none")
	case p.ReceivedAt.Sub(at) > maxAge:
		return forged("timestamp is too old")
	case at.Sub(p.ReceivedAt) > maxAhead:
		return forged("timestamp is ahead of time")
	}
	return nil
}

// sentAt is the URL's timestamp: milliseconds (documented), or seconds, as one page of the
// platform has it, told apart by their ten digits. Zero if it is none.
func sentAt(query url.Values) time.Time {
	text := query.Get("timestamp")
	n, err := strconv.ParseUint(text, 10, 63)
	switch {
	case err != nil:
		return time.Time{}
	case len(text) == 10:
		return time.Unix(int64(n), 0).UTC() // #nosec G115 -- 63 bits
	case len(text) == 13:
		return time.UnixMilli(int64(n)).UTC() // #nosec G115 -- 63 bits
	}
	return time.Time{}
}
