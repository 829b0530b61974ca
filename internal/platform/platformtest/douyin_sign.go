package platformtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"  // #nosec G501 -- the platform's signatures are what they are
	"crypto/sha1" // #nosec G505 -- the same
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// signEvent is X-Douyin-Signature: SHA-1 of the secret and the raw body (DOC).
func (f *Douyin) signEvent(secret string, body []byte) string {
	sum := sha1.Sum(append([]byte(secret), body...)) // #nosec G401 -- the platform's
	return f.hex(sum[:])
}

func (f *Douyin) hex(sum []byte) string {
	if f.config.Quirks.UpperSignatures {
		return strings.ToUpper(hex.EncodeToString(sum))
	}
	return hex.EncodeToString(sum)
}

// spiText is what is signed of an SPI call: the secret, all parameters but sign in the
// order of their names, and the raw body (DOC; the order of the values of one name is CODE).
func spiText(secret string, query url.Values, body []byte) string {
	parts := []string{secret}
	var names []string
	for name := range query {
		if name != "sign" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range slices.Sorted(slices.Values(query[name])) {
			parts = append(parts, name+"="+value)
		}
	}
	if len(body) > 0 {
		parts = append(parts, "http_body="+string(body))
	}
	return strings.Join(parts, "&")
}

// stampSPI adds an SPI call's parameters, headers and signatures (DOC).
func (f *Douyin) stampSPI(r *http.Request, body []byte) {
	quirks := f.config.Quirks
	query := r.URL.Query()
	query.Set("client_key", f.config.ClientKey)
	now := time.Now()
	query.Set("timestamp", strconv.FormatInt(now.UnixMilli(), 10))
	if quirks.TimestampInSeconds {
		query.Set("timestamp", strconv.FormatInt(now.Unix(), 10))
	}
	signed := url.Values{}
	for name, values := range query {
		if name != "token" || !quirks.TokenUnsigned {
			signed[name] = values
		}
	}
	text := spiText(f.ClientSecret(), signed, body)
	if !quirks.HeaderSign {
		sum := md5.Sum([]byte(text)) // #nosec G401 -- the platform's
		query.Set("sign", f.hex(sum[:]))
	}
	if !quirks.LegacySign {
		sum := sha256.Sum256([]byte(text))
		r.Header.Set("x-life-sign", f.hex(sum[:]))
	}
	r.Header.Set("x-life-clientkey", f.config.ClientKey)
	r.Header.Set("X-Bytedance-Logid", newLogID())
	r.URL.RawQuery = query.Encode()
}

// stampEvent adds a webhook's headers (DOC).
func (f *Douyin) stampEvent(r *http.Request, messageID string, body []byte) {
	r.Header.Set("X-Douyin-Signature", f.signEvent(f.ClientSecret(), body))
	if messageID != "" && !f.config.Quirks.NoMsgIDHeader {
		r.Header.Set("Msg-Id", messageID)
	}
}

// Signed is a push as it would be sent now: its URL's query and its headers.
func (f *Douyin) Signed(path string, body []byte) (url.Values, http.Header) {
	target, err := url.Parse(f.courier.address(path))
	if err != nil {
		target = &url.URL{}
	}
	r := &http.Request{URL: target, Header: http.Header{}}
	r.Header.Set("Content-Type", "application/json")
	if l := f.letter(path, body); l.stamp != nil {
		l.stamp(r)
	}
	return r.URL.Query(), r.Header
}

// Encrypt is a personal field as the platform encrypts it: AES-256-CBC with a key made of
// the secret, and the key's last 16 bytes as IV (DOC).
func (f *Douyin) Encrypt(text string) string {
	key := []byte(douyinKey(f.ClientSecret()))
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	padding := aes.BlockSize - len(text)%aes.BlockSize
	padded := append([]byte(text), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, key[16:]).CryptBlocks(padded, padded)
	return base64.StdEncoding.EncodeToString(padded)
}

// douyinKey aligns a secret to 32 bytes: # is put on, or a byte taken off, left first and
// then by turns (DOC).
func douyinKey(secret string) string {
	for left := true; len(secret) != 32; left = !left {
		switch {
		case len(secret) < 32 && left:
			secret = "#" + secret
		case len(secret) < 32:
			secret += "#"
		case left:
			secret = secret[1:]
		default:
			secret = secret[:len(secret)-1]
		}
	}
	return secret
}

// eventHead reads of a webhook's body what the courier needs.
func eventHead(body []byte) (event, messageID string, challenge json.RawMessage) {
	var head struct {
		Event   string          `json:"event"`
		MsgID   string          `json:"msg_id"`
		Content json.RawMessage `json:"content"`
	}
	_ = json.Unmarshal(body, &head) // a raw push may be anything
	var content struct {
		Challenge json.RawMessage `json:"challenge"`
	}
	text := ""
	if json.Unmarshal(head.Content, &text) == nil {
		head.Content = json.RawMessage(text)
	}
	_ = json.Unmarshal(head.Content, &content)
	return head.Event, head.MsgID, content.Challenge
}
