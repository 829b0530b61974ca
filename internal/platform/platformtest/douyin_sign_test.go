package platformtest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"testing"
)

// The vectors of the protocol page, computed there by hand.
const (
	vectorSecret = "test_client_secret_0123456789abc"
	vectorEvent  = `{"event":"verify_webhook","client_key":"abc","content":{"challenge":12345}}`
)

func TestDouyinSignatureVectors(t *testing.T) {
	fake, err := NewDouyin(DouyinConfig{ClientSecret: vectorSecret, Empty: true})
	must(t, err)
	if got := fake.signEvent(vectorSecret, []byte(vectorEvent)); got != "4a30097a68ab1558aa4572485629ace49f5d936b" {
		t.Errorf("event: %s", got)
	}
	query := url.Values{"client_key": {"awtest"}, "timestamp": {"1624293280123"}, "sign": {"not signed"}}
	text := []byte(spiText(vectorSecret, query, []byte(`{"order_id":"1","count":1}`)))
	long, short := sha256.Sum256(text), md5.Sum(text)
	if got := hex.EncodeToString(long[:]); got != "8e2e4652c7f35fa314bd437733f70a28f4e5008be474e1074c6ce14bf5d1171a" {
		t.Errorf("x-life-sign: %s", got)
	}
	if got := hex.EncodeToString(short[:]); got != "c1d6e524c29d7160a742549fb27973c1" {
		t.Errorf("sign: %s", got)
	}
}

func TestDouyinSignedText(t *testing.T) {
	query := url.Values{"b": {"2", "1"}, "a": {"x y"}, "token": {"t&k"}}
	if got := spiText("s", query, nil); got != "s&a=x y&b=1&b=2&token=t&k" {
		t.Error(got)
	}
}

func TestDouyinKey(t *testing.T) {
	for secret, want := range map[string]string{
		"":                        "################################",
		"abc":                     "###############abc##############",
		"abcd":                    "##############abcd##############",
		vectorSecret:              vectorSecret,
		"x" + vectorSecret:        vectorSecret,
		"x" + vectorSecret + "y":  vectorSecret,
		"xx" + vectorSecret + "y": vectorSecret,
	} {
		if got := douyinKey(secret); got != want {
			t.Errorf("%q: %q, want %q", secret, got, want)
		}
	}
}

func sumSHA256(text string) [32]byte { return sha256.Sum256([]byte(text)) }
