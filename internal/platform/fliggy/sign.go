package fliggy

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// keyPrivateKey is the key of the credentials Secret.
const keyPrivateKey = "privateKey"

// signedText is what a call signs (documented): the account, the time and the
// call's subject joined by underscores. Where the call has no subject the second
// underscore stays (inferred; clients that do so are answered). Nothing else of the
// body is signed.
func signedText(account string, millis int64, subject string) string {
	return account + "_" + strconv.FormatInt(millis, 10) + "_" + subject
}

// idsSubject is the subject of a call about several products (documented): their
// ids in dictionary order, so "200" before "30", joined by commas.
func idsSubject(ids []string) string {
	return strings.Join(slices.Sorted(slices.Values(ids)), ",")
}

// refundSubjects are the two forms that the subject of searchRefundOrder may have: with
// a trailing underscore, as the document prints it, and without, as searchOrder's is.
// The first may be a misprint; which one the platform wants is unknown. Without an order
// id both are empty.
func refundSubjects(orderID string) (printed, plain string) {
	if orderID == "" {
		return "", ""
	}
	return orderID + "_", orderID
}

// signer signs with an account's key.
type signer struct{ key *rsa.PrivateKey }

// newSigner reads the account's private key: base64 of PKCS#8 DER, as the platform
// hands it out (documented), or PEM, of PKCS#8 or PKCS#1. White space is of no
// account. Errors wrap platform.ErrCredentials and show nothing of the key.
func newSigner(credentials platform.Credentials) (signer, error) {
	text := strings.TrimSpace(credentials[keyPrivateKey].Reveal())
	if text == "" {
		return signer{}, fmt.Errorf("%w: %s is missing", platform.ErrCredentials, keyPrivateKey)
	}
	key, err := parseKey(text)
	if err != nil {
		return signer{}, fmt.Errorf("%w: %s %w", platform.ErrCredentials, keyPrivateKey, err)
	}
	s := signer{key}
	if _, err := s.sign(""); err != nil { // too short a key is told now, not by every call
		return signer{}, fmt.Errorf("%w: %s cannot sign", platform.ErrCredentials, keyPrivateKey)
	}
	return s, nil
}

// sign is base64(SHA256withRSA(text)) (documented): PKCS #1 v1.5, the text as UTF-8,
// standard base64 with padding.
func (s signer) sign(text string) (string, error) {
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, digest[:])
	return base64.StdEncoding.EncodeToString(signature), err
}

// parseKey reads a private key. Its errors complete "privateKey …" and never quote.
func parseKey(text string) (*rsa.PrivateKey, error) {
	// A PEM block is "-----BEGIN X-----", base64, "-----END X-----". Cut apart so, and
	// not by encoding/pem, one that lost its line breaks in a Secret is read too.
	if parts := strings.Split(text, "-----"); len(parts) == 5 {
		text = parts[2]
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, errors.New("is neither base64 nor PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("is not a PKCS#8 private key")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("is not an RSA key")
	}
	return key, nil
}
