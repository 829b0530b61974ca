package docs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/accounts"
	"github.com/laidoulaile/channel-operator/internal/order"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/sctt"
	"github.com/laidoulaile/channel-operator/internal/sealing"
	"github.com/laidoulaile/channel-operator/test/env"
	"github.com/laidoulaile/channel-operator/webhookserver"
)

const scttMerchant = "255456"

func scttPage(t *testing.T) string {
	t.Helper()
	return read(t, "docs", "platforms", "sctt.md")
}

// rows of a page's table whose first heading is given, their cells without backquotes.
func rows(t *testing.T, page, heading string) [][]string {
	t.Helper()
	head := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(heading) + ` \|.*\n\|---.*\n`).FindStringIndex(page)
	if head == nil {
		t.Fatalf("no table %q", heading)
	}
	var all [][]string
	for line := range strings.SplitSeq(page[head[1]:], "\n") {
		inner, isRow := strings.CutPrefix(line, "| ")
		if !isRow {
			break
		}
		cells := strings.Split(strings.TrimSuffix(inner, " |"), " | ")
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "`", "")
		}
		all = append(all, cells)
	}
	return all
}

// told is the first order that a push tells of.
func told(t *testing.T, path, body string) *platform.OrderNotification {
	t.Helper()
	message, err := sctt.Adapter{}.Open(platform.Push{Path: path, Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	events, err := message.Events()
	if err != nil {
		t.Fatal(err)
	}
	return events[0].Order
}

// codeOf a row: what stands for any other is 9.
func codeOf(cell string) string {
	if strings.HasPrefix(cell, "any other") {
		return "9"
	}
	return cell
}

// The statuses of the page are recorded, and by themselves come to a phase, as it says.
func TestSCTTStatuses(t *testing.T) {
	for heading, push := range map[string]struct{ path, body string }{
		"`order_status`":  {"order-voucher", `{"order_code":1,"order_status":%s}`},
		"`cancel_status`": {"order-cancel", `{"orderlist":[{"order_code":1,"cancel_status":%s}]}`},
	} {
		table := rows(t, scttPage(t), heading)
		if len(table) < 4 {
			t.Fatalf("%s: %d rows", heading, len(table))
		}
		for _, row := range table {
			got := told(t, push.path, fmt.Sprintf(push.body, codeOf(row[0])))
			succeeded := "absent"
			if got.Succeeded != nil {
				succeeded = strconv.FormatBool(*got.Succeeded)
			}
			outcome := order.Fold([]v1alpha1.Notification{{
				ID: "m", Type: v1alpha1.NotificationType(got.Kind), PlatformType: got.PlatformType, Succeeded: got.Succeeded,
			}}, order.Evidence{Trusted: true})
			coded := []string{row[0], row[1], got.Kind, succeeded, string(outcome.Status.Phase)}
			if !slices.Equal(coded, row) {
				t.Errorf("%s: the page says %v, the code %v", heading, row, coded)
			}
		}
	}
}

// What wins where pushes contradict each other is what the page says, in any order.
func TestSCTTContradictions(t *testing.T) {
	push := map[string]struct{ path, body string }{
		"1":                             {"order-voucher", `{"order_code":1,"order_status":1}`},
		"2":                             {"order-voucher", `{"order_code":1,"order_status":2}`},
		"3":                             {"order-voucher", `{"order_code":1,"order_status":3}`},
		"4":                             {"order-voucher", `{"order_code":1,"order_status":4}`},
		"a cancellation that succeeded": {"order-cancel", `{"orderlist":[{"order_code":1,"cancel_status":3}]}`},
		"a cancellation that waits":     {"order-cancel", `{"orderlist":[{"order_code":1,"cancel_status":2}]}`},
		"a cancellation that failed":    {"order-cancel", `{"orderlist":[{"order_code":1,"cancel_status":1}]}`},
	}
	table := rows(t, scttPage(t), "Pushed about one order, in any order")
	if len(table) < 6 {
		t.Fatalf("%d rows", len(table))
	}
	for _, row := range table {
		phase, _, _ := strings.Cut(row[1], ":")
		for pair := range strings.SplitSeq(row[0], ", or ") {
			names := strings.Split(pair, " and ")
			if len(names) != 2 {
				t.Fatalf("%q names %d pushes", pair, len(names))
			}
			var notifications []v1alpha1.Notification
			for i, name := range names {
				p, known := push[name]
				if !known {
					t.Fatalf("%q is no push", name)
				}
				got := told(t, p.path, p.body)
				notifications = append(notifications, v1alpha1.Notification{
					ID: strconv.Itoa(i), Type: v1alpha1.NotificationType(got.Kind), PlatformType: got.PlatformType, Succeeded: got.Succeeded,
				})
			}
			for range 2 {
				outcome := order.Fold(notifications, order.Evidence{Trusted: true})
				if got := string(outcome.Status.Phase); got != phase {
					t.Errorf("%s: the page says %s, the fold %s", pair, phase, got)
				}
				slices.Reverse(notifications)
			}
		}
	}
}

// The kinds of vouchers, and which of a voucher's fields is the code.
func TestSCTTVouchers(t *testing.T) {
	table := rows(t, scttPage(t), "`voucher_type`")
	if len(table) != 6 {
		t.Fatalf("%d rows", len(table))
	}
	for _, row := range table {
		got := told(t, "order-voucher", fmt.Sprintf(`{"order_code":1,"order_status":2,"vouchers":[{"voucherlist":[{"voucher_type":%s,
			"voucher_url":"voucher_url","voucher_confirmation":"voucher_confirmation","voucher_verification":"v"}]}]}`, codeOf(row[0])))
		coded := []string{row[0], or(got.Codes[0].Form, "absent"), got.Codes[0].Text.Reveal()}
		if !slices.Equal(coded, row) {
			t.Errorf("the page says %v, the code %v", row, coded)
		}
	}
}

// What the page says of tickets with one number is what becomes of them.
func TestSCTTVerifications(t *testing.T) {
	got := told(t, "order-voucher", `{"order_code":1,"order_status":2,"vouchers":[{"voucherlist":[
		{"voucher_type":4,"voucher_confirmation":"CN-1","voucher_verification":31},
		{"voucher_type":4,"voucher_confirmation":"CN-1","voucher_verification":"32"},{"voucher_type":4,"voucher_confirmation":"CN-1","voucher_verification":"32"}]}]}`)
	text := section(t, scttPage(t), "Vouchers")
	if len(got.Codes) != 2 {
		t.Fatalf("%d codes", len(got.Codes))
	}
	for _, code := range got.Codes {
		if !strings.Contains(text, "`"+code.Text.Reveal()+"`") {
			t.Errorf("the page does not have %q", code.Text.Reveal())
		}
	}
}

// What the page says of how a body is read is so, and its refusals are the code's.
func TestSCTTBodies(t *testing.T) {
	page := scttPage(t)
	text := section(t, page, "What each push does") + section(t, page, "Voucher push (订单通知-凭证推送)")
	for body, quoted := range map[string]string{
		"{\"order_code\":1,\"order_status\":2,\"remark\":\"\xd6\xd0\"}":                                      "the body is not UTF-8",
		`{"order_code":1,"order_status":2,"vouchers":[{"voucherlist":[{"voucher_confirmation":"\ud800"}]}]}`: `\ud800`,
		`{"order_code":1,"order_status":"+2"}`:                                                               `"+2"`,
		`{"order_code":" ","order_status":2}`:                                                                "a blank `order_code`",
		`{"order_code":1,"order_status":2,"subjoin":[0]}`:                                                    "A list with something in it there is malformed",
	} {
		message, err := sctt.Adapter{}.Open(platform.Push{Path: "order-voucher", Body: []byte(body)})
		if err == nil {
			_, err = message.Events()
		}
		if !errors.Is(err, platform.ErrMalformed) || !strings.Contains(strings.Join(strings.Fields(text), " "), quoted) {
			t.Errorf("%s: %v, and the page says %q: %t", body, err, quoted, strings.Contains(text, quoted))
		}
	}
	for written, quoted := range map[string]string{`"02"`: `"02"`, `2,"subjoin":[]`: `"subjoin":[]`} {
		got := told(t, "order-voucher", `{"order_code":1,"order_status":`+written+`}`)
		if got.MessageID != "order-voucher:2" || !strings.Contains(text, quoted) {
			t.Errorf("%s: %s, and the page says %q: %t", written, got.MessageID, quoted, strings.Contains(text, quoted))
		}
	}
}

// Every field of the pushes as the platform prints them is explained.
func TestSCTTPushFields(t *testing.T) {
	page := scttPage(t)
	for heading, sample := range map[string]string{
		"Voucher push (订单通知-凭证推送)": "seed-order-voucher.json",
		"Cancel push (订单通知-取消订单)":  "sample-order-cancel.json",
	} {
		names := set(`"([a-z_]+)"\s*:`, read(t, "internal", "platform", "sctt", "testdata", "push", sample))
		if len(names) < 10 {
			t.Fatalf("%s: %d fields", sample, len(names))
		}
		// What both have is explained with the voucher push.
		text := section(t, page, "Voucher push (订单通知-凭证推送)") + section(t, page, heading)
		for _, name := range names {
			if !regexp.MustCompile("[`.]" + name + "(`|\\[)").MatchString(text) {
				t.Errorf("%s: the page does not say what becomes of %s", sample, name)
			}
		}
	}
}

func TestSCTTCancelTypes(t *testing.T) {
	table := rows(t, scttPage(t), "`cancel_type`")
	if len(table) != 6 {
		t.Fatalf("%d rows", len(table))
	}
	for _, row := range table {
		got := told(t, "order-voucher", fmt.Sprintf(`{"order_code":1,"order_status":2,"cancel_type":%s}`, codeOf(row[0])))
		if coded := or(got.Cancellation.Type, "absent"); coded != row[1] {
			t.Errorf("cancel_type %s: the page says %s, the code %s", row[0], row[1], coded)
		}
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// Every outcome's reply stands on the page.
func TestSCTTReplies(t *testing.T) {
	outcomes := []platform.Outcome{
		platform.OutcomeRecorded, platform.OutcomeMalformed, platform.OutcomeTooLarge,
		platform.OutcomeUnknownAccount, platform.OutcomeForged, platform.OutcomeRetry,
	}
	table := rows(t, scttPage(t), "What happened")
	if len(table) != len(outcomes) {
		t.Fatalf("%d rows, %d outcomes", len(table), len(outcomes))
	}
	for i, row := range table {
		reply := sctt.Adapter{}.Reply("order-voucher", outcomes[i], "malformed push: which field, and what is wrong")
		var body struct {
			Code int
			Msg  string
		}
		if err := json.Unmarshal(reply.Body, &body); err != nil {
			t.Fatal(err)
		}
		coded := []string{row[0], strconv.Itoa(reply.Status), strconv.Itoa(body.Code), body.Msg}
		if !slices.Equal(coded, row) {
			t.Errorf("the page says %v, the code %v", row, coded)
		}
	}
}

// The names that a template may have are those of the code, and those of the page.
func TestSCTTTemplateFields(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(env.MustRoot(t), "internal", "platform", "sctt", "template.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	existing := []string{"secret"}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "templateFields" {
			return true
		}
		for _, element := range spec.Values[0].(*ast.CompositeLit).Elts {
			name, err := strconv.Unquote(element.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			existing = append(existing, name)
		}
		return true
	})
	text := section(t, scttPage(t), "The message that is signed")
	same(t, "template field", set("`\\{([a-z_]+)\\}`", text), existing)
	for _, name := range existing {
		if _, err := (sctt.Adapter{}).Settings(signature(t, "MD5", "UpperHex", "{secret}{"+name+"}")); err != nil {
			t.Error(err)
		}
	}
	_, refused, _ := strings.Cut(text, "So are the lists and objects")
	refused, _, _ = strings.Cut(refused, ":")
	for _, name := range set("`([a-z]+)`", refused) {
		if _, err := (sctt.Adapter{}).Settings(signature(t, "MD5", "UpperHex", "{secret}{"+name+"}")); err == nil || !strings.Contains(err.Error(), "{"+name+"}") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func signature(t *testing.T, algorithm, encoding, message string) json.RawMessage {
	t.Helper()
	block, err := json.Marshal(v1alpha1.SCTTChannel{Signature: &v1alpha1.SCTTSignature{Algorithm: algorithm, Encoding: encoding, Message: message}})
	if err != nil {
		t.Fatal(err)
	}
	return block
}

// The worked examples: the rule, the text that is digested by hand and the sign agree.
func TestSCTTSignatureExamples(t *testing.T) {
	text := section(t, scttPage(t), "Examples")
	secret := first(t, "with the secret `([^`]+)`", text)[1]
	body := first(t, "(?s)```json\n(.*?)\n```", text)[1]
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)\n```\n\n    \\$ printf '%s' '([^']*)' \\|[^\n]*\n    (?:SHA2-256\\(stdin\\)= )?(\\S+)").FindAllStringSubmatch(text, -1)
	if len(examples) != strings.Count(text, "```yaml") || len(examples) < 4 {
		t.Fatalf("%d examples are whole, of %d", len(examples), strings.Count(text, "```yaml"))
	}
	for _, example := range examples {
		var block v1alpha1.SCTTChannel
		if err := yaml.UnmarshalStrict([]byte(example[1]), &block); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(block)
		if err != nil {
			t.Fatal(err)
		}
		settings, err := sctt.Adapter{}.Settings(raw)
		if err != nil {
			t.Fatal(err)
		}
		signed := strings.TrimSuffix(body, "}") + fmt.Sprintf(`,"sign":%q}`, example[3])
		message, err := sctt.Adapter{}.Open(platform.Push{Path: "order-voucher", Body: []byte(signed)})
		if err != nil {
			t.Fatal(err)
		}
		proof, err := message.Verify(platform.Holder{ID: scttMerchant, Settings: settings,
			Credentials: platform.Credentials{"secret": sealing.NewSecret(secret)}})
		if err != nil || proof != platform.ProofSigned {
			t.Errorf("%+v: %s, %v", *block.Signature, proof, err)
		}
		rendered := strings.NewReplacer("{merchant_id}", scttMerchant, "{request_time}", "2024-02-22 10:00:00", "{secret}", secret).Replace(block.Signature.Message)
		if rendered != example[2] {
			t.Errorf("%q is to be digested, and %q is printed", rendered, example[2])
		}
	}
}

func first(t *testing.T, pattern, text string) []string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no %s", pattern)
	}
	return match
}

// What the page quotes of conditions is what the code says.
func TestSCTTConditions(t *testing.T) {
	page := scttPage(t)
	settings, err := sctt.Adapter{}.Settings(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, unset := sctt.Adapter{}.NewClient(platform.Account{Holder: platform.Holder{Settings: settings}}, nil)
	_, misnamed := sctt.Adapter{}.Settings(signature(t, "MD5", "UpperHex", "{secret}{…}"))
	note := first(t, `noteNoPrices = "([^"]+)"`, read(t, "internal", "platform", "sctt", "answer.go"))[1]
	if unset == nil || misnamed == nil {
		t.Fatal(unset, misnamed)
	}
	for quoted, said := range map[string]string{
		"spec.sctt.signature is not set": unset.Error(),
		"signature.message names {…}":    misnamed.Error(),
		note:                             note,
	} {
		if !strings.Contains(said, quoted) {
			t.Errorf("the code says %q, and not %q", said, quoted)
		}
		if !strings.Contains(page, quoted) {
			t.Errorf("the page lacks %q", quoted)
		}
	}
}

// scttAccounts has one Channel, travel/sctt.
type scttAccounts struct{ account *accounts.Account }

func (a scttAccounts) ByAccount(_ v1alpha1.Platform, id string) (*accounts.Account, error) {
	if id != a.account.ID {
		return nil, accounts.ErrUnknown
	}
	return a.account, nil
}

func (a scttAccounts) ByName(types.NamespacedName) (*accounts.Account, error) { return a.account, nil }

func (a scttAccounts) OnPlatform(v1alpha1.Platform) ([]*accounts.Account, error) {
	return []*accounts.Account{a.account}, nil
}

// takesAll records nothing, and says that it did.
type takesAll struct{}

func (takesAll) Record(context.Context, *accounts.Account, platform.Push, []platform.Event) (platform.Outcome, error) {
	return platform.OutcomeRecorded, nil
}

func (takesAll) Commit(context.Context, *accounts.Account, platform.Push, []platform.Event) (platform.Outcome, error) {
	return platform.OutcomeRecorded, nil
}

func (takesAll) Look(context.Context, *accounts.Account, platform.Lookup, bool) (platform.Known, error) {
	return platform.Known{}, nil
}

// The table of pushes that are accepted, row by row and column by column.
func TestSCTTAccepts(t *testing.T) {
	signs := map[string]string{
		"absent": "",
		"right":  `"sign":"96e618ea9eeb18a44e982c6cc9db2b1d",`,
		"wrong":  `"sign":"0123456789ABCDEF0123456789ABCDEF",`,
		"there":  `"sign":"0123456789ABCDEF0123456789ABCDEF",`,
	}
	paths := map[string][]string{
		"common":            {"/api/webhooks/sctt/order-voucher"},
		"the Channel's own": {"/api/channels/travel/sctt/order-voucher"},
	}
	paths["either"] = slices.Concat(paths["common"], paths["the Channel's own"])
	rules := map[string][]json.RawMessage{"yes": {signature(t, "MD5", "UpperHex", "{merchant_id}{request_time}{secret}")}, "no": {nil}}
	rules["either"] = slices.Concat(rules["yes"], rules["no"])
	ours := netip.MustParsePrefix("192.0.2.0/24") // where httptest's requests come from
	other := netip.MustParsePrefix("198.51.100.0/24")
	token := []sealing.Secret{sealing.NewSecret("t")}
	columns := [][]senders{
		{{}},
		{{accounts.Guard{Tokens: token}, "t"}, {accounts.Guard{Networks: []netip.Prefix{ours}}, ""}},
		{{accounts.Guard{Tokens: token}, ""}, {accounts.Guard{Tokens: token}, "u"}, {accounts.Guard{Networks: []netip.Prefix{other}}, ""},
			{accounts.Guard{Tokens: token, Networks: []netip.Prefix{other}}, "t"}},
	}

	table := rows(t, scttPage(t), "`sign`")
	if !slices.Equal(slices.Sorted(maps.Keys(signs)), slices.Compact(slices.Sorted(cellsOf(table, 0)))) {
		t.Fatalf("the table has %v", table)
	}
	for _, row := range table {
		for i, column := range columns {
			want := row[3+i]
			for _, rule := range rules[row[1]] {
				for _, path := range paths[row[2]] {
					for _, from := range column {
						if got := from.push(t, path, rule, signs[row[0]]); got != want {
							t.Errorf("sign %s, rule %s, %s, %+v: %s, the page says %s", row[0], rule, path, from, got, want)
						}
					}
				}
			}
		}
	}
}

func cellsOf(table [][]string, column int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, row := range table {
			if !yield(row[column]) {
				return
			}
		}
	}
}

// senders are what a Channel wants of them, and the token that one brings.
type senders struct {
	guard accounts.Guard
	token string
}

// push gives "accepted" or the reply's HTTP status.
func (s senders) push(t *testing.T, path string, rule json.RawMessage, sign string) string {
	t.Helper()
	settings, err := sctt.Adapter{}.Settings(rule)
	if err != nil {
		t.Fatal(err)
	}
	account := &accounts.Account{
		Namespace: "travel", Name: "sctt", Platform: v1alpha1.PlatformSCTT, Receiver: sctt.Adapter{}, Guard: s.guard,
		Holder: platform.Holder{ID: scttMerchant, Settings: settings, Credentials: platform.Credentials{"secret": sealing.NewSecret("example-secret")}},
	}
	handler := webhookserver.NewHandler(webhookserver.Options{
		Receivers: map[v1alpha1.Platform]platform.Receiver{v1alpha1.PlatformSCTT: sctt.Adapter{}},
		Accounts:  scttAccounts{account}, Recorder: takesAll{},
	})
	body := `{"merchant_id":` + scttMerchant + `,"request_time":"2024-02-22 10:00:00",` + sign + `"order_code":1,"order_status":2}`
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path+"?token="+url.QueryEscape(s.token), strings.NewReader(body))
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	if response.Code == http.StatusOK {
		return "accepted"
	}
	return strconv.Itoa(response.Code)
}
