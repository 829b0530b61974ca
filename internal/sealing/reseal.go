package sealing

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
)

// Recipient is whom an identity file (AGE-SECRET-KEY-1…, one a line) seals for: the
// recipient of its first identity, which is the newest. All of its identities open.
func Recipient(identities string) (string, error) {
	recipients, err := Recipients(identities)
	if err != nil {
		return "", err
	}
	return recipients[0], nil // no identity at all is an error
}

// Reseal opens a body with the identities in the text (one a line) and seals it anew, for
// the recipients ("age1…") alone. A body of which Current holds comes back as it is.
func Reseal(sealed, identities string, recipients []string) (string, error) {
	if Current(sealed, identities, recipients) {
		return sealed, nil
	}
	body, err := Open(sealed, identities)
	if err != nil {
		return "", err
	}
	parsed, err := age.ParseRecipients(strings.NewReader(strings.Join(recipients, "\n")))
	if err != nil {
		return "", fmt.Errorf("sealing recipients: %w", err)
	}
	return seal(body, parsed)
}

// Current reports whether a body is known to be sealed for the recipients and for nobody
// else. A sealed body does not say whom it is for, only for how many: it takes the identities
// of all of them to know, and where one is not in the text, it is not known.
func Current(sealed, identities string, recipients []string) bool {
	header, err := age.ExtractHeader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(sealed)))
	if err != nil || bytes.Count(header, []byte("\n-> ")) != len(recipients) {
		return false
	}
	parsed, err := age.ParseIdentities(strings.NewReader(identities))
	if err != nil {
		return false
	}
	opens := map[string]bool{}
	for _, identity := range parsed {
		recipient, err := recipientOf(identity)
		if err != nil {
			continue
		}
		_, err = age.DecryptHeader(header, identity)
		opens[recipient] = err == nil
	}
	for _, recipient := range recipients {
		if !opens[recipient] {
			return false
		}
	}
	return true
}

// recipientOf an identity.
func recipientOf(identity age.Identity) (string, error) {
	switch i := identity.(type) {
	case *age.X25519Identity:
		return i.Recipient().String(), nil
	case *age.HybridIdentity:
		return i.Recipient().String(), nil
	}
	return "", errors.New("sealing identity of an unknown kind")
}

// seal encrypts a body to recipients: base64 of the age file over exactly these bytes.
func seal(body []byte, recipients []age.Recipient) (string, error) {
	file, err := encrypt(body, recipients)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(file), nil
}

// encrypt makes an age file.
func encrypt(content []byte, recipients []age.Recipient) ([]byte, error) {
	var file bytes.Buffer
	plain, err := age.Encrypt(&file, recipients...)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if _, err := plain.Write(content); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := plain.Close(); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return file.Bytes(), nil
}
