package douyin

import (
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
)

// The protocol's own list, and what each code comes to.
func TestCodes(t *testing.T) {
	type kind struct {
		kind   platform.Kind
		reason platform.Reason
	}
	var (
		transient   = kind{platform.Transient, platform.ReasonUnavailable}
		throttled   = kind{platform.Throttled, platform.ReasonThrottled}
		request     = kind{platform.Refused, platform.ReasonRequest}
		credentials = kind{platform.Refused, platform.ReasonCredentials}
		notGranted  = kind{platform.Refused, platform.ReasonNotGranted}
		unknown     = kind{platform.Transient, platform.ReasonUnknownCode}
	)
	all := map[string]kind{
		"2100001": transient, "2100004": transient, "2100005": request, "2119001": request, "2119002": transient, "2119003": throttled,
		"2119005": credentials, "2119008": request, "2119010": request, "2190001": throttled, "2190002": credentials, "2190004": notGranted,
		"2190008": credentials, "3000001": transient, "5000001": transient,
		"28001003": credentials, "28001005": transient, "28001006": transient, "28001007": request, "28001008": credentials,
		"28001018": notGranted, "28003017": throttled, "28003018": throttled,
		"10002": request, "10003": credentials, "10013": credentials, "10020": throttled,
	}
	for code, want := range all {
		if got := refusal(opOrderQuery, code, ""); (kind{got.Kind, got.Reason}) != want || got.Code != code || got.Text == "" {
			t.Errorf("%s: %+v, want %+v", code, got, want)
		}
	}
	if len(errorCodes) != len(all) {
		t.Errorf("%d codes are classified, %d are documented", len(errorCodes), len(all))
	}
	for _, code := range []string{"1", "", "abc", "-1"} {
		if got := refusal(opOrderQuery, code, ""); (kind{got.Kind, got.Reason}) != unknown {
			t.Errorf("%q: %+v", code, got)
		}
	}
	for code := range errorCodes {
		wait := time.Duration(0)
		if code == "2190001" || code == "28003017" {
			wait = time.Hour
		}
		if got := refusal(opOrderQuery, code, "").RetryAfter; got != wait {
			t.Errorf("%s: wait %s, want %s", code, got, wait)
		}
	}
	for _, code := range []string{"2190002", "2190008", "28001003", "28001008"} {
		if !refusesToken(code) || errorCodes[code].reason != platform.ReasonCredentials {
			t.Errorf("%s", code)
		}
	}
}

// The table that the merchant reads is the table that the code follows.
func TestCodesAreDocumented(t *testing.T) {
	doc := golden.Read(t, filepath.Join("..", "..", "..", "docs", "platforms", "douyin.md"))
	row := regexp.MustCompile("(?m)^\\| `(\\d+)` \\| ([^|]+) \\| (\\w+) \\| (\\w+) \\|")
	documented := map[string]string{}
	for _, cells := range row.FindAllSubmatch(doc, -1) {
		documented[string(cells[1])] = fmt.Sprintf("%s, %s %s", cells[2], cells[3], cells[4])
	}
	coded := map[string]string{}
	for code, entry := range errorCodes {
		coded[code] = fmt.Sprintf("%s, %s %s", entry.meaning, entry.kind, entry.reason)
	}
	if diff := cmp.Diff(documented, coded); diff != "" {
		t.Errorf("-docs/platforms/douyin.md +codes.go:\n%s", diff)
	}
}
