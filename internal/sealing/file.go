package sealing

import (
	"bytes"
	"fmt"
	"strings"

	"filippo.io/age"
)

// SealFile encrypts what only the holder of the identities in the text (one a line) is to
// read again: an age file, as it is to lie on a disk. Whoever has not the identities can
// neither open it nor, as their recipients stand nowhere in it, make another that opens.
func SealFile(content []byte, identities string) ([]byte, error) {
	names, err := Recipients(identities)
	if err != nil {
		return nil, err
	}
	recipients, err := age.ParseRecipients(strings.NewReader(strings.Join(names, "\n")))
	if err != nil {
		return nil, fmt.Errorf("sealing recipients: %w", err)
	}
	return encrypt(content, recipients)
}

// OpenFile gives back the whole of what SealFile sealed, or an error: a file that was cut
// or changed anywhere, or was sealed for another, does not open.
func OpenFile(sealed []byte, identities string) ([]byte, error) {
	parsed, err := age.ParseIdentities(strings.NewReader(identities))
	if err != nil {
		return nil, fmt.Errorf("sealing identity: %w", err)
	}
	content, err := decrypt(bytes.NewReader(sealed), parsed)
	if err != nil {
		return nil, fmt.Errorf("open sealed file: %w", err)
	}
	return content, nil
}
