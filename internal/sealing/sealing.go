// Package sealing keeps what a push must not show: it encrypts raw bodies with age,
// gives voucher codes ids that only the holder of a key can compute, and masks and
// scrubs texts. It knows no HTTP, no controller and no platform; keys and recipients
// are handed to it.
package sealing

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"filippo.io/age"
)

const (
	// codeKeySize is the size in bytes of the key for code ids.
	codeKeySize = 32
	// codeIDVersion names the rule by which a code id was made, should it ever change.
	codeIDVersion = "h1:"
	// codeIDBytes of the HMAC are kept: 128 bits, far beyond collisions in one order.
	codeIDBytes = 16
	// madeCodeBytes of the HMAC make a code: 80 bits.
	madeCodeBytes = 10
	mask          = "•••"
)

// Sealer seals for one Channel. It is safe for concurrent use.
type Sealer struct {
	Hidden

	names      []string
	recipients []age.Recipient
	codeKey    []byte
}

// NewSealer makes a Sealer for age recipients ("age1…") and a key for code ids. It seals once
// to see that it can: recipients that are good each by itself may not go together.
func NewSealer(recipients []string, codeKey []byte) (*Sealer, error) {
	if len(recipients) == 0 {
		return nil, errors.New("no sealing recipient")
	}
	if len(codeKey) < codeKeySize {
		return nil, fmt.Errorf("the key for code ids has %d bytes, %d are needed", len(codeKey), codeKeySize)
	}
	parsed, err := age.ParseRecipients(strings.NewReader(strings.Join(recipients, "\n")))
	if err != nil {
		return nil, fmt.Errorf("sealing recipients: %w", err)
	}
	for i, recipient := range parsed {
		if parsed[i], err = quick(recipient); err != nil {
			return nil, fmt.Errorf("sealing recipients: %w", err)
		}
	}
	if _, err := seal(nil, parsed); err != nil {
		return nil, fmt.Errorf("sealing recipients: %w", err)
	}
	return &Sealer{names: slices.Clone(recipients), recipients: parsed, codeKey: codeKey}, nil
}

// Recipients are those ("age1…") that it seals for.
func (s *Sealer) Recipients() []string { return slices.Clone(s.names) }

// Seal encrypts a body to the recipients: base64 of the age file over exactly these bytes.
func (s *Sealer) Seal(body []byte) (string, error) { return seal(body, s.recipients) }

// CodeID is a keyed hash of a voucher code: equal codes have equal ids, and without
// the key a code can be neither read from its id nor guessed and compared.
func (s *Sealer) CodeID(code Secret) string {
	mac := hmac.New(sha256.New, s.codeKey)
	mac.Write([]byte(code.Reveal()))
	return codeIDVersion + hex.EncodeToString(mac.Sum(nil)[:codeIDBytes])
}

// contentIDInfo tells the key that names contents from every other use of the code key.
const contentIDInfo = "channel-operator content id v1"

// ContentID is a keyed hash of what a message says: equal contents have equal ids, and
// without the key a content can be neither read from its id nor guessed and compared.
func (s *Sealer) ContentID(content []byte) string {
	mac := hmac.New(sha256.New, s.subkey(contentIDInfo))
	mac.Write(content)
	return codeIDVersion + hex.EncodeToString(mac.Sum(nil)[:codeIDBytes])
}

// subkey derives the key of one use from the code key.
func (s *Sealer) subkey(info string) []byte {
	key, err := hkdf.Key(sha256.New, s.codeKey, nil, info, codeKeySize)
	if err != nil {
		panic("sealing: hkdf gives 32 bytes of SHA-256: " + err.Error())
	}
	return key
}

// makeCodeInfo tells the key that makes codes from every other use of the code key.
const makeCodeInfo = "channel-operator voucher code v1"

// codeAlphabet is Crockford's: no letter that could be read as another or as a digit.
var codeAlphabet = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// MakeCode makes a voucher code of 16 characters for what the names name: always the same
// for the same names, and, without the key, not to be guessed (80 bits). So a code need
// not be stored to be given again.
func (s *Sealer) MakeCode(names ...string) Secret {
	mac := hmac.New(sha256.New, s.subkey(makeCodeInfo))
	for _, name := range names {
		// The length in front keeps "a", "bc" apart from "ab", "c".
		_, _ = fmt.Fprintf(mac, "%d:%s", len(name), name)
	}
	return NewSecret(codeAlphabet.EncodeToString(mac.Sum(nil)[:madeCodeBytes]))
}

// Hint is a code masked for people: its first character, if it has more than one.
func Hint(code Secret) string {
	first, size := utf8.DecodeRuneInString(code.Reveal())
	if size == 0 || size == len(code.Reveal()) || first == utf8.RuneError {
		return mask
	}
	return string(first) + mask
}

// What a platform's free text may carry of a secret: links, with a scheme or without;
// words that look like a code (letters and digits, or capitals); numbers as long as a
// document's or a telephone's, spaced or not, and those of mobile telephones however they are parted:
// no date and no price has their eleven digits.
var (
	links   = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*[:：]//\S+|\b[a-z0-9-]+(\.[a-z0-9-]+)+([:：][0-9]+)?[/?]\S*|\bwww\.\S+`)
	phones  = regexp.MustCompile(`1[3-9][0-9](?:[./-]?[0-9]){8}\b`)
	numbers = regexp.MustCompile(`[0-9][0-9 -]{4,}[0-9Xx]`)
	words   = regexp.MustCompile(`[A-Za-z0-9][A-Za-z0-9_-]{3,}`)
	coded   = regexp.MustCompile(`[0-9]|^[A-Z-]{6,}$`)
)

// Scrub takes from a platform's free text what could be a secret: the given secrets,
// links, and whatever looks like a code, a document number or a telephone number.
// Erring, it takes too much: the text is whole in the sealed body. What has another form of
// ASCII, as full-width letters and circled digits have, is looked at as ASCII, and shown so; white space
// is one space, in the text and in the secrets; what nobody sees is left out. So what it gives is one line.
// Twice the text and twice the secrets take little more than twice the time.
func Scrub(text string, secrets ...Secret) string {
	if text == "" {
		return ""
	}
	text = hide(plain(text), secrets)
	text = links.ReplaceAllString(text, "[link]")
	text = phones.ReplaceAllString(text, mask)
	text = numbers.ReplaceAllString(text, mask)
	return words.ReplaceAllStringFunc(text, func(word string) string {
		if coded.MatchString(word) {
			return mask
		}
		return word
	})
}

// plain is a text as it is looked at: folded, and white space, however much of it, one space.
func plain(text string) string {
	spaced := false
	return strings.Map(func(r rune) rune {
		r = fold(r)
		if r < 0 || r == ' ' && spaced {
			return -1
		}
		spaced = r == ' '
		return r
	}, text)
}

// fold gives a character that is another form of an ASCII one as that one: digits of any script,
// full-width letters, circled digits, white space, and the full-width signs that stand in numbers, codes and links.
// Other punctuation is part of Chinese text, and stays. What is invisible is dropped: within a secret
// it would make another word of it for us, and none for who reads it.
func fold(r rune) rune {
	const fullWidth = '！' - '!'
	switch {
	case ' ' <= r && r <= '~':
		return r
	case unicode.IsSpace(r):
		return ' '
	case invisible(r):
		return -1
	case unicode.IsDigit(r):
		zero := r
		for unicode.IsDigit(zero - 1) {
			zero--
		}
		return '0' + (r-zero)%10 // where scripts lie side by side, each has ten
	case 'Ａ' <= r && r <= 'Ｚ', 'ａ' <= r && r <= 'ｚ', strings.ContainsRune("－．／＿？＝＆＃＠％＋", r):
		return r - fullWidth
	}
	for _, of := range enclosed {
		if of.first <= r && r <= of.last {
			return of.ascii + r - of.first
		}
	}
	return r
}

// enclosed are letters and digits in circles, in parentheses or with a full stop, each row of them by its first
// and last, and what the first is in ASCII. Numbers of two digits stay as they are.
var enclosed = []struct{ first, last, ascii rune }{
	{'①', '⑨', '1'}, {'⑴', '⑼', '1'}, {'⒈', '⒐', '1'}, {'⒜', '⒵', 'a'}, {'Ⓐ', 'Ⓩ', 'A'}, {'ⓐ', 'ⓩ', 'a'}, {'⓪', '⓪', '0'},
	{'⓵', '⓽', '1'}, {'⓿', '⓿', '0'}, {'❶', '❾', '1'}, {'➀', '➈', '1'}, {'➊', '➒', '1'},
}

// invisible reports whether a character shows nothing, not even a space: soft hyphens, joiners,
// directions, variation selectors, fillers, tags and controls.
func invisible(r rune) bool {
	if unicode.IsControl(r) {
		return !unicode.IsSpace(r)
	}
	return r > unicode.MaxASCII && unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// hide masks the secrets wherever they stand in a plain text, with their letters in capitals or not. Where
// one overlaps another, nothing of either stays.
func hide(text string, secrets []Secret) string {
	lengths := standing(text, secrets)
	if lengths == nil {
		return text
	}
	var kept strings.Builder
	end := 0 // of what is masked or kept
	for at, length := range lengths {
		if length > 0 && at >= end {
			kept.WriteString(mask)
		}
		if end = max(end, at+length); at >= end {
			kept.WriteByte(text[at])
		}
	}
	return kept.String()
}

// shortText is how long a text is, in bytes, that is looked through for each secret by itself.
const shortText = 1024

// standing says of each byte of a plain text how long a secret is that begins there, 0 where none does, or only
// such as stand in longer ones; nil where there is none at all. A push may have thousands, and a text few of them.
func standing(text string, secrets []Secret) (lengths []int) {
	text = lower(text)
	var words []string
	for _, secret := range secrets {
		word := lower(strings.TrimSpace(plain(secret.Reveal())))
		if word != "" && len(word) <= len(text) && (len(text) > shortText || strings.Contains(text, word)) {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		return nil
	}
	return newFinder(words).find(text)
}

// lower makes small letters of A to Z, and changes no length.
func lower(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		return text
	}
	bytes := []byte(text)
	for i, c := range bytes {
		if 'A' <= c && c <= 'Z' {
			bytes[i] = c + 'a' - 'A'
		}
	}
	return string(bytes)
}

// Excerpt is a platform's free text, scrubbed, and so on one line, and cut to a number of
// characters: in this order, for half a secret is not known as one.
func Excerpt(text string, limit int, secrets ...Secret) string {
	return Cut(strings.TrimSpace(Scrub(text, secrets...)), limit)
}

// numeral is what days, dates, amounts and shares are written with.
var numeral = regexp.MustCompile(`^[0-9./%: -]*$`)

// shortSecret is how long a secret may be, in bytes, that is no more than a day or a share
// could be by chance.
const shortSecret = 5

// Word is a platform's own number or word, cut to a number of characters: as it came where
// it is a day, a date or a share, which an Excerpt would take for a number not to be shown,
// and holds no secret that is longer than those by chance.
func Word(text string, limit int, secrets ...Secret) string {
	text = strings.TrimSpace(text)
	long := func(length int) bool { return length > shortSecret }
	if len(text) <= limit && numeral.MatchString(text) && !slices.ContainsFunc(standing(plain(text), secrets), long) {
		return text
	}
	return Excerpt(text, limit, secrets...)
}

// Cut is a text's beginning, of so many characters at most.
func Cut(text string, characters int) string {
	n := 0
	for i := range text {
		if n == characters {
			return text[:i]
		}
		n++
	}
	return text
}

// NewIdentity makes an age key pair: the identity (AGE-SECRET-KEY-1…) to keep.
func NewIdentity() (string, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("make sealing identity: %w", err)
	}
	return identity.String(), nil
}

// Recipients are the recipients ("age1…") of the identities in the text, one a line.
func Recipients(identities string) ([]string, error) {
	parsed, err := age.ParseIdentities(strings.NewReader(identities))
	if err != nil {
		return nil, fmt.Errorf("sealing identity: %w", err)
	}
	recipients := make([]string, 0, len(parsed))
	for _, identity := range parsed {
		recipient, err := recipientOf(identity)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, recipient)
	}
	return recipients, nil
}

// NewCodeKey makes a key for code ids.
func NewCodeKey() []byte {
	key := make([]byte, codeKeySize)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	return key
}

// Open decrypts what Seal made, with the identities in the text.
func Open(sealed, identities string) ([]byte, error) {
	parsed, err := age.ParseIdentities(strings.NewReader(identities))
	if err != nil {
		return nil, fmt.Errorf("sealing identity: %w", err)
	}
	body, err := decrypt(base64.NewDecoder(base64.StdEncoding, strings.NewReader(sealed)), parsed)
	if err != nil {
		return nil, fmt.Errorf("open sealed body: %w", err)
	}
	return body, nil
}

func decrypt(sealed io.Reader, identities []age.Identity) ([]byte, error) {
	plain, err := age.Decrypt(sealed, identities...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}
