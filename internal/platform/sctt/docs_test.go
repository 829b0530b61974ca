package sctt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

func merchantsPage(t *testing.T) []byte {
	t.Helper()
	return golden.Read(t, filepath.Join("..", "..", "..", "docs", "platforms", "sctt.md"))
}

// The table that the merchant reads is the table that the code follows.
func TestCodesAreDocumented(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `(\\d{4})` \\| ([^|]+) \\| (\\w+) \\| (\\w+) \\|")
	documented := map[string]string{}
	for _, cells := range row.FindAllSubmatch(merchantsPage(t), -1) {
		documented[string(cells[1])] = fmt.Sprintf("%s, %s %s", cells[2], cells[3], cells[4])
	}
	coded := map[string]string{}
	for code, entry := range errorCodes {
		coded[code] = fmt.Sprintf("%s, %s %s", entry.meaning, entry.kind, entry.reason)
	}
	if diff := cmp.Diff(documented, coded); diff != "" {
		t.Errorf("-docs/platforms/sctt.md +codes.go:\n%s", diff)
	}
}

// Each rule that the merchant is shown gives the sign that the page prints.
func TestDocumentedRules(t *testing.T) {
	page := merchantsPage(t)
	push := `{"merchant_id":255456,"request_time":"2024-02-22 10:00:00","order_code":123456,"order_status":2`
	if !bytes.Contains(page, []byte(push+"}")) {
		t.Error("the page has another message")
	}
	rule := regexp.MustCompile("(?s)algorithm: (\\w+)\n  encoding: (\\w+)\n  message: \"([^\"]+)\"\n```\n\n    \\$ [^\n]+\n    (?:SHA2-256\\(stdin\\)= )?([^\\s]+)")
	rules := rule.FindAllSubmatch(page, -1)
	if len(rules) != 4 {
		t.Errorf("the page has %d rules with signs", len(rules))
	}
	for _, found := range rules {
		h := holder(settings(t, block(string(found[1]), string(found[2]), string(found[3]))))
		h.Credentials = platform.Credentials{keySecret: sealing.NewSecret("example-secret")}
		body := push + `,"sign":` + quote(string(found[4])) + `}`
		if proof, err := open(t, pathVoucher, []byte(body)).Verify(h); proof != platform.ProofSigned || err != nil {
			t.Errorf("%s, %s of %s is not %s: %q, %v", found[1], found[2], found[3], found[4], proof, err)
		}
	}
}

// The seed's sample is as it was printed: whoever formats it takes away what it is for.
func TestSeedIsAsPrinted(t *testing.T) {
	sum := sha256.Sum256(golden.Read(t, filepath.Join("testdata", "push", "seed-order-voucher.json")))
	if got := hex.EncodeToString(sum[:]); got != "e7fdd7b46f93aab2832df827d33ba86754e0f3c8ee242a6f06ddbfe3f8cfe440" {
		t.Errorf("its digest is %s", got)
	}
}
