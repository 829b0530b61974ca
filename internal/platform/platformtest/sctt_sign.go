package platformtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" // #nosec G501 -- a merchant's rule may say so
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// SCTTSignature is a merchant's signing rule. The platform's own is UNKNOWN, all of it:
// this is what may be configured of it.
type SCTTSignature struct {
	// Algorithm is MD5, SHA256 or HMACSHA256, whose key is the secret.
	Algorithm string `json:"algorithm"`
	// Encoding is UpperHex, LowerHex or Base64.
	Encoding string `json:"encoding"`
	// Message is what is signed: a text in which {name} stands for the top-level field of the
	// call or push, as it is written there, and {secret} for the secret.
	Message string `json:"message"`
}

// DefaultSCTTSignature is the rule of this project's examples; that it is any merchant's
// is not known.
var DefaultSCTTSignature = SCTTSignature{Algorithm: "MD5", Encoding: "UpperHex", Message: "{merchant_id}{request_time}{secret}"}

// scttPlace is where a value goes in a message.
var scttPlace = regexp.MustCompile(`\{[a-z_]+\}`)

// scttSigned are the fields that may stand in a message: those of calls and pushes that
// hold one value. How an object or a list would be written is UNKNOWN.
var scttSigned = strings.Fields(`secret merchant_id request_time language key cid pageno pagesize product_id start_date end_date
	trade_number order_code total_price order_label order_currency order_status certificate_mode travel_itinerary_url
	surplus_quota cancel_type remark`)

func (s SCTTSignature) check() error {
	if !slices.Contains([]string{"MD5", "SHA256", "HMACSHA256"}, s.Algorithm) || !slices.Contains([]string{"UpperHex", "LowerHex", "Base64"}, s.Encoding) {
		return fmt.Errorf("no such signature: %s in %s", s.Algorithm, s.Encoding)
	}
	for _, place := range scttPlace.FindAllString(s.Message, -1) {
		if !slices.Contains(scttSigned, strings.Trim(place, "{}")) {
			return fmt.Errorf("the message names %s, which is no field of a call or push", place)
		}
	}
	if rest := scttPlace.ReplaceAllString(s.Message, ""); s.Message == "" || strings.ContainsAny(rest, "{}") {
		return fmt.Errorf("the message %q is empty or has a brace that belongs to no field", s.Message)
	}
	if s.Algorithm != "HMACSHA256" && !strings.Contains(s.Message, "{secret}") {
		return fmt.Errorf("without {secret} in the message anyone can make the %s", s.Algorithm)
	}
	return nil
}

// sign signs the top-level fields of a call or push.
func (s SCTTSignature) sign(secret string, fields map[string]json.RawMessage) string {
	message := scttPlace.ReplaceAllStringFunc(s.Message, func(place string) string {
		if place == "{secret}" {
			return secret
		}
		return scttText(fields[strings.Trim(place, "{}")])
	})
	return s.encode(s.digest(secret, []byte(message)))
}

func (s SCTTSignature) digest(secret string, message []byte) []byte {
	switch s.Algorithm {
	case "MD5":
		sum := md5.Sum(message) // #nosec G401 -- a merchant's rule may say so
		return sum[:]
	case "SHA256":
		sum := sha256.Sum256(message)
		return sum[:]
	}
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write(message) // a hash takes all
	return mac.Sum(nil)
}

func (s SCTTSignature) encode(digest []byte) string {
	switch s.Encoding {
	case "Base64":
		return base64.StdEncoding.EncodeToString(digest)
	case "LowerHex":
		return hex.EncodeToString(digest)
	}
	return strings.ToUpper(hex.EncodeToString(digest))
}

// matches compares a sign with the right one; hexadecimal digits are the same in any case.
func (s SCTTSignature) matches(sign, right string) bool {
	if s.Encoding != "Base64" {
		sign, right = strings.ToLower(sign), strings.ToLower(right)
	}
	return subtle.ConstantTimeCompare([]byte(sign), []byte(right)) == 1
}

// scttText is a field as it stands in a message: a text without its quotes, a number byte
// for byte, nothing for null.
func scttText(raw json.RawMessage) string {
	text := ""
	if raw = bytes.TrimSpace(raw); bytes.HasPrefix(raw, []byte(`"`)) {
		_ = json.Unmarshal(raw, &text) // it is part of what was read as JSON
		return text
	}
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

// Signature is the merchant's rule.
func (f *SCTT) Signature() SCTTSignature { return f.config.Signature }
