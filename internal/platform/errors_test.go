package platform_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

func TestErrorSaysWhatFailedAndWhy(t *testing.T) {
	cases := map[string]struct {
		err  *platform.Error
		want string
	}{
		"code and text": {&platform.Error{Op: "searchOrder", Code: "4104", Text: "query failed"}, "searchOrder: 4104 query failed"},
		"no code":       {&platform.Error{Op: "searchOrder", Text: "not asked"}, "searchOrder: not asked"},
		"a cause":       {&platform.Error{Op: "searchOrder", Text: "unused", Err: io.ErrUnexpectedEOF}, "searchOrder: unexpected EOF"},
		"cause, code":   {&platform.Error{Op: "searchOrder", Code: "200", Err: io.EOF}, "searchOrder: 200 EOF"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if got := test.err.Error(); got != test.want {
				t.Errorf("Error() = %q, want %q", got, test.want)
			}
		})
	}
}

// What a platform writes into its messages, and what a broken answer makes net/http
// quote, must not reach a log or a status.
func TestErrorTextIsScrubbed(t *testing.T) {
	const link, number = "https://codes.example.com/show?c=1", "13800138000"
	for name, err := range map[string]*platform.Error{
		"text":         {Op: "op", Code: "9000", Text: "see " + link + " or call " + number},
		"cause":        {Op: "op", Err: errors.New("see " + link + " or call " + number)},
		"quoted cause": {Op: "op", Err: fmt.Errorf("malformed HTTP response %q", `PLANTED "`+link+`" `+number)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, secret := range []string{"codes.example.com", number, "PLANTED"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q shows %s", err, secret)
				}
			}
		})
	}
}

func TestErrorUnwraps(t *testing.T) {
	err := fmt.Errorf("look: %w", &platform.Error{Kind: platform.Refused, Err: context.Canceled})
	if !errors.Is(err, context.Canceled) {
		t.Error("the cause is lost")
	}
}

func TestKindOf(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want platform.Kind
	}{
		"an Error":         {&platform.Error{Kind: platform.Gone}, platform.Gone},
		"a wrapped Error":  {fmt.Errorf("look: %w", &platform.Error{Kind: platform.Refused}), platform.Refused},
		"a joined Error":   {errors.Join(io.EOF, &platform.Error{Kind: platform.Throttled}), platform.Throttled},
		"an error of ours": {errors.New("disk full"), platform.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			if got := platform.KindOf(test.err); got != test.want {
				t.Errorf("KindOf() = %s, want %s", got, test.want)
			}
		})
	}
}
