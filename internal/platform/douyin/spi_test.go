package douyin

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	testOrder = "1065946966824669548"
	cert1     = "7379746762393143301"
	cert2     = "7379746762393143302"
	code1     = "S3CRETCODE0001"
	code2     = "S3CRETCODE0002"
)

// sceneOf a file, whose name begins with it.
func sceneOf(file string) string {
	scene, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
	return scene
}

// known is what is known of nothing. Codes are made of their names, and named by their
// ids, so that tests can tell them.
func known() platform.Known {
	return platform.Known{
		Now:      testNow,
		MakeCode: func(orderID, unit string) sealing.Secret { return sealing.NewSecret("MADE-" + orderID + "-" + unit) },
		CodeID: func(c platform.Code) string {
			if c.ID != "" {
				return "h1:" + c.ID
			}
			return "h1:" + c.Text.Reveal()
		},
	}
}

func knowing(orderID string, order platform.KnownOrder) platform.Known {
	k := known()
	k.Orders = map[string]platform.KnownOrder{orderID: order}
	return k
}

func inquiry(t testing.TB, scene, body string) platform.Inquiry {
	t.Helper()
	m, err := Adapter{}.Open(scenePush(scene, body, testSecret))
	if err != nil {
		t.Fatal(err)
	}
	return m.(platform.Inquiry)
}

func answer(t testing.TB, i platform.Inquiry, h platform.Holder, k platform.Known) platform.Answer {
	t.Helper()
	a, err := i.Answer(h, k)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func generate(s *Settings) { s.CodeSource = SourceGenerate }

func TestSceneGolden(t *testing.T) {
	scenes := map[string]bool{}
	for _, file := range golden.Inputs(t, "spi") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			m, err := Adapter{}.Open(scenePush(sceneOf(file), string(golden.Read(t, file)), testSecret))
			if err != nil {
				t.Fatal(err)
			}
			scenes[m.Type()] = true
			events, err := m.Events()
			if err != nil {
				t.Fatal(err)
			}
			said := struct {
				Account, Type string
				Asks          platform.Lookup
				Events        []platform.Event
				Reply         string
			}{Account: m.Account(), Type: m.Type(), Events: events}
			if i, ok := m.(platform.Inquiry); ok {
				a := answer(t, i, holder(generate), known())
				said.Asks, said.Events, said.Reply = i.Asks(), a.Events, string(a.Reply.Body)
			}
			for _, event := range said.Events {
				checkEvent(t, event)
			}
			golden.Check(t, file+".golden", said)
		})
	}
	for scene := range openers {
		if !scenes[scene] {
			t.Errorf("no test file of %s", scene)
		}
	}
}

func TestSceneMalformed(t *testing.T) {
	const (
		pre    = `{"order_id":"1","sku_id":"2","count":1}`
		issue  = `{"order_id":"1","count":2,"certificates":[{"certificate_id":"3"},{"certificate_id":"4"}]}`
		apply  = `{"order_id":"1","after_sale_id":"5","certificates":[{"certificate_id":"3","code":"s3cret"}],"refund_amount":1}`
		notice = `{"order_id":"1","notice_list":[{"certificate_id":"3","code":"s3cret"}]}`
		query  = `{"scene":"x","order_ids":["1"]}`
		member = `{"open_id":"1","update_time":"2","info":{"mobile":{"new_mobile":"s3cret"}}}`
	)
	many := func(n int, entry string) string {
		list := make([]string, n)
		for i := range list {
			list[i] = strings.ReplaceAll(entry, "#", fmt.Sprint(i))
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	cases := map[string]struct{ scene, body, old, new, names string }{
		"no such scene":            {"order_delay", pre, "", "", "path"},
		"empty":                    {sceneIssueCodes, "", "", "", "body"},
		"a list":                   {sceneIssueCodes, "[]", "", "", "body"},
		"twice":                    {sceneIssueCodes, issue + issue, "", "", "body"},
		"no product":               {scenePreCreate, pre, `"sku_id"`, `"x"`, "sku_id"},
		"negative count":           {scenePreCreate, pre, `"count":1`, `"count":-1`, "count"},
		"product is an object":     {scenePreCreate, pre, `"2"`, `{}`, "sku_id"},
		"issue of no order":        {sceneIssueCodes, issue, `"order_id"`, `"x"`, "order_id"},
		"nothing to issue":         {sceneIssueCodes, `{"order_id":"1"}`, "", "", "count"},
		"issue of none":            {sceneIssueCodes, `{"order_id":"1","count":0}`, "", "", "count"},
		"issue of too many":        {sceneIssueCodes, `{"order_id":"1","count":501}`, "", "", "count"},
		"too many certificates":    {sceneIssueCodes, `{"order_id":"1","certificates":` + many(501, `{"certificate_id":"#"}`) + `}`, "", "", "certificates"},
		"certificate without id":   {sceneIssueCodes, issue, `"certificate_id":"3"`, `"x":1`, "certificates[0].certificate_id"},
		"a certificate twice":      {sceneIssueCodes, issue, `"4"`, `"3"`, "twice"},
		"certificates are texts":   {sceneIssueCodes, issue, `{"certificate_id":"3"}`, `"3"`, "certificates"},
		"refund of no order":       {sceneRefundApply, apply, `"order_id"`, `"x"`, "order_id"},
		"refund of nothing":        {sceneRefundApply, `{"order_id":"1"}`, "", "", "certificates"},
		"negative refund":          {sceneRefundApply, apply, `"refund_amount":1`, `"refund_amount":-1`, "refund_amount"},
		"coupon of no name":        {sceneRefundApply, apply, `"certificate_id":"3","code":"s3cret"`, `"x":1`, "certificate_id"},
		"a code is no id":          {sceneRefundApply, `{"order_id":"1","code":"s3cret"}`, "", "", "certificate_id"},
		"a code is no id, noticed": {sceneRefundNotice, notice, `"certificate_id":"3",`, "", "certificate_id"},
		"a coupon twice":           {sceneRefundApply, apply, `[`, `[{"certificate_id":"3"},`, "twice"},
		"too many coupons":         {sceneRefundApply, `{"order_id":"1","certificates":` + many(501, `{"certificate_id":"#"}`) + `}`, "", "", "certificates"},
		"notice of no order":       {sceneRefundNotice, notice, `"order_id"`, `"x"`, "order_id"},
		"notice list is an object": {sceneRefundNotice, notice, `[{"certificate_id":"3","code":"s3cret"}]`, `{}`, "notice_list"},
		"notice names one twice":   {sceneRefundNotice, notice, `[`, `[{"certificate_id":"3"},`, "twice"},
		"no orders":                {sceneStatusQuery, query, `"order_ids"`, `"x"`, "order_ids"},
		"an empty list":            {sceneStatusQuery, query, `["1"]`, `[]`, "order_ids"},
		"101 orders":               {sceneStatusQuery, `{"order_ids":` + many(101, `"#"`) + `}`, "", "", "order_ids"},
		"1000 orders":              {sceneStatusQuery, `{"order_ids":` + many(1000, `"#"`) + `}`, "", "", "order_ids"},
		"an order that is none":    {sceneStatusQuery, query, `["1"]`, `["1",""]`, "order_ids[1]"},
		"an order that is a list":  {sceneStatusQuery, query, `["1"]`, `[["s3cret"]]`, "order_ids[0]"},
		"no member":                {sceneMemberInfo, member, `"open_id"`, `"x"`, "open_id"},
		"no time":                  {sceneMemberInfo, member, `"update_time"`, `"x"`, "update_time"},
		"info is a text":           {sceneMemberInfo, member, `{"mobile":{"new_mobile":"s3cret"}}`, `"s3cret"`, "info"},
		"wrapped in no JSON":       {sceneMemberInfo, `{"content":"s3cret"}`, "", "", "content"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(tc.body, tc.old, tc.new, 1)
			if tc.old != "" && body == tc.body {
				t.Fatal("the case replaces nothing")
			}
			_, err := Adapter{}.Open(scenePush(tc.scene, body, testSecret))
			if !errors.Is(err, platform.ErrMalformed) {
				t.Fatalf("Open() = %v; want an error that wraps ErrMalformed", err)
			}
			if !strings.Contains(err.Error(), tc.names) {
				t.Errorf("%q does not name %q", err, tc.names)
			}
			checkNoSecret(t, err)
		})
	}
	for _, name := range []string{"client_key", "timestamp"} {
		p := scenePush(scenePreCreate, pre, testSecret)
		p.Query = url.Values{name: {"1", "2"}}
		if _, err := (Adapter{}).Open(p); !errors.Is(err, platform.ErrMalformed) {
			t.Errorf("%s twice: %v", name, err)
		}
	}
}

func TestPreCreate(t *testing.T) {
	sold := func(change func(*platform.KnownProduct)) *platform.KnownProduct {
		p := &platform.KnownProduct{State: platform.ProductOnSale, SaleStart: testNow.Add(-time.Hour), SaleEnd: testNow.Add(time.Hour), Stock: new(int64(2))}
		change(p)
		return p
	}
	cases := map[string]struct {
		product *platform.KnownProduct
		want    int
	}{
		"for sale":               {sold(func(*platform.KnownProduct) {}), 0},
		"not known":              {nil, 1},
		"deleted":                {sold(func(p *platform.KnownProduct) { p.Deleted = true }), 1},
		"off sale":               {sold(func(p *platform.KnownProduct) { p.State = platform.ProductOffSale }), 2},
		"banned":                 {sold(func(p *platform.KnownProduct) { p.State = platform.ProductBanned }), 2},
		"not started":            {sold(func(p *platform.KnownProduct) { p.SaleStart = testNow.Add(time.Second) }), 3},
		"starts now":             {sold(func(p *platform.KnownProduct) { p.SaleStart = testNow }), 0},
		"ended":                  {sold(func(p *platform.KnownProduct) { p.SaleEnd = testNow.Add(-time.Second) }), 4},
		"ends now":               {sold(func(p *platform.KnownProduct) { p.SaleEnd = testNow }), 0},
		"sold out":               {sold(func(p *platform.KnownProduct) { p.Stock = new(int64(0)) }), 5},
		"too few left":           {sold(func(p *platform.KnownProduct) { p.Stock = new(int64(1)) }), 5},
		"unlimited":              {sold(func(p *platform.KnownProduct) { p.Stock = nil }), 0},
		"state unknown":          {sold(func(p *platform.KnownProduct) { p.State = platform.ProductUnknown }), 0},
		"nothing known of it":    {&platform.KnownProduct{}, 0},
		"banned and sold out":    {sold(func(p *platform.KnownProduct) { p.State, p.Stock = platform.ProductBanned, new(int64(0)) }), 2},
		"no dates":               {sold(func(p *platform.KnownProduct) { p.SaleStart, p.SaleEnd = time.Time{}, time.Time{} }), 0},
		"off sale, not started":  {sold(func(p *platform.KnownProduct) { p.State, p.SaleStart = platform.ProductOffSale, testNow.Add(1) }), 2},
		"deleted, seen off sale": {sold(func(p *platform.KnownProduct) { p.State, p.Deleted = platform.ProductOffSale, true }), 1},
	}
	i := inquiry(t, scenePreCreate, `{"sku_id":"1","product_id":"2","third_sku_id":"a","third_product_id":"b","count":2}`)
	want := platform.Lookup{Product: &platform.ProductNames{IDs: []string{"1", "2"}, SupplierCodes: []string{"a", "b"}}}
	if diff := cmp.Diff(want, i.Asks()); diff != "" {
		t.Errorf("Asks() (-want +got):\n%s", diff)
	}
	for name, tc := range cases {
		k := known()
		k.Product = tc.product
		a := answer(t, i, holder(nil), k)
		if code := codeOf(t, a.Reply); code != tc.want || a.Reply.Status != 200 || len(a.Events) != 0 {
			t.Errorf("%s: error_code %d, want %d", name, code, tc.want)
		}
	}
}

const issueBody = `{"order_id":"` + testOrder + `","count":2,"certificates":[{"certificate_id":"` + cert1 + `"},{"certificate_id":"` + cert2 + `"}]}`

// recorded is what the ledger keeps of an answer's only notification.
func recorded(a platform.Answer, name func(platform.Code) string) map[string]platform.Recorded {
	n := a.Events[0].Order
	r := platform.Recorded{Result: string(n.Replied.Result)}
	for _, code := range n.Codes {
		r.CodeIDs, r.Refs = append(r.CodeIDs, name(code)), append(r.Refs, code.ID)
	}
	return map[string]platform.Recorded{n.MessageID: r}
}

func TestIssueCodes(t *testing.T) {
	for name, tc := range map[string]struct{ body, reply string }{
		"certificates": {issueBody, `{"data":{"error_code":0,"description":"success","result":1,"certificates":[` +
			`{"certificate_id":"` + cert1 + `","code":"MADE-` + testOrder + `-` + cert1 + `"},` +
			`{"certificate_id":"` + cert2 + `","code":"MADE-` + testOrder + `-` + cert2 + `"}]}}`},
		"count": {`{"order_id":"` + testOrder + `","count":2}`, `{"data":{"error_code":0,"description":"success","result":1,` +
			`"codes":["MADE-` + testOrder + `-#1","MADE-` + testOrder + `-#2"]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			i := inquiry(t, sceneIssueCodes, tc.body)
			if diff := cmp.Diff(platform.Lookup{Orders: []string{testOrder}}, i.Asks()); diff != "" {
				t.Errorf("Asks() (-want +got):\n%s", diff)
			}
			k := known()
			first := answer(t, i, holder(generate), k)
			if string(first.Reply.Body) != tc.reply || first.Recorded {
				t.Errorf("%s, want %s", first.Reply.Body, tc.reply)
			}
			n := first.Events[0].Order
			if n.Kind != kindCodesIssued || !*n.Succeeded || len(n.Codes) != 2 || n.MessageID != "issue_codes:"+testOrder || !n.Deadline.IsZero() ||
				n.Replied.Result != platform.ResultIssued || string(n.Replied.Body) != tc.reply {
				t.Errorf("%+v", n)
			}
			// Not recorded after all: the same again. Recorded: the same, and nothing new.
			for _, h := range []platform.Holder{holder(generate), holder(nil)} {
				again := answer(t, i, h, knowing(testOrder, platform.KnownOrder{Recorded: recorded(first, k.CodeID)}))
				if !cmp.Equal(again.Reply, first.Reply) || !again.Recorded || len(again.Events) != 0 {
					t.Errorf("asked again: %s", again.Reply.Body)
				}
			}
			same := answer(t, i, holder(generate), knowing(testOrder, platform.KnownOrder{}))
			if diff := cmp.Diff(first, same, golden.SameSecrets); diff != "" {
				t.Errorf("asked again (-first +second):\n%s", diff)
			}
		})
	}
}

// The same certificates in another order are the same order: each keeps its code.
func TestIssueCodesInAnotherOrder(t *testing.T) {
	first := answer(t, inquiry(t, sceneIssueCodes, issueBody), holder(generate), known())
	turned := `{"order_id":"` + testOrder + `","certificates":[{"certificate_id":"` + cert2 + `"},{"certificate_id":"` + cert1 + `"}]}`
	again := answer(t, inquiry(t, sceneIssueCodes, turned), holder(generate), knowing(testOrder, platform.KnownOrder{Recorded: recorded(first, known().CodeID)}))
	if !strings.Contains(string(again.Reply.Body), `"`+cert1+`","code":"MADE-`+testOrder+`-`+cert1+`"`) {
		t.Errorf("%s", again.Reply.Body)
	}
}

// Nobody gets other codes than were given: where they cannot be made again, the platform is
// told to try again.
func TestIssueCodesThatChanged(t *testing.T) {
	first := answer(t, inquiry(t, sceneIssueCodes, issueBody), holder(generate), known())
	k := knowing(testOrder, platform.KnownOrder{Recorded: recorded(first, known().CodeID)})
	more := strings.Replace(issueBody, `[`, `[{"certificate_id":"9"},`, 1)
	byCount := `{"order_id":"` + testOrder + `","count":2}`
	counted := answer(t, inquiry(t, sceneIssueCodes, byCount), holder(generate), known())
	otherKey := knowing(testOrder, platform.KnownOrder{Recorded: recorded(counted, known().CodeID)})
	otherKey.MakeCode = func(string, string) sealing.Secret { return sealing.NewSecret("s3cret") }
	for name, tc := range map[string]struct {
		body  string
		known platform.Known
	}{
		"more certificates": {more, k},
		"no certificates":   {byCount, k},
		"another count":     {`{"order_id":"` + testOrder + `","count":3}`, knowing(testOrder, platform.KnownOrder{Recorded: recorded(counted, known().CodeID)})},
		"another key":       {byCount, otherKey},
	} {
		a, err := inquiry(t, sceneIssueCodes, tc.body).Answer(holder(generate), tc.known)
		if !errors.Is(err, platform.ErrCredentials) || errors.Is(err, platform.ErrMalformed) || len(a.Events) != 0 || len(a.Reply.Body) != 0 {
			t.Errorf("%s: %v", name, err)
		}
		checkNoSecret(t, err)
	}
}

func TestIssueCodesLater(t *testing.T) {
	const pending = `{"data":{"error_code":0,"description":"success","result":0}}`
	for name, tc := range map[string]struct {
		body string
		ids  []string
	}{
		"certificates": {issueBody, []string{cert1, cert2}},
		"count":        {`{"order_id":"` + testOrder + `","count":2}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			i := inquiry(t, sceneIssueCodes, tc.body)
			first := answer(t, i, holder(nil), known())
			n := first.Events[0].Order
			var ids []string
			for _, code := range n.Codes {
				ids = append(ids, code.ID)
				if !code.Text.IsZero() {
					t.Error("a code that nobody gave")
				}
			}
			if string(first.Reply.Body) != pending || n.Kind != kindCodesRequested || n.Succeeded != nil || !slices.Equal(ids, tc.ids) ||
				!n.Deadline.Equal(testNow.Add(10*time.Minute)) || n.Replied.Result != platform.ResultPending || n.Replied.Body != nil {
				t.Errorf("%s %+v", first.Reply.Body, n)
			}
			// Also where codes would be made now: the answer of then stands.
			again := answer(t, i, holder(generate), knowing(testOrder, platform.KnownOrder{Recorded: recorded(first, known().CodeID)}))
			if !cmp.Equal(again.Reply, first.Reply) || !again.Recorded || len(again.Events) != 0 {
				t.Errorf("asked again: %s", again.Reply.Body)
			}
		})
	}
}

// A long order id makes a message id that is within bounds, and no two the same.
func TestSceneIDs(t *testing.T) {
	long := strings.Repeat("9", 128)
	a, b := sceneID(sceneIssueCodes, long), sceneID(sceneIssueCodes, long[1:]+"8")
	if len(a) > 128 || a == b || !strings.HasPrefix(a, "issue_codes:sha256:") {
		t.Errorf("%s, %s", a, b)
	}
	if got := sceneID(sceneRefundApply, "1", "2"); got != "refund_apply:1:2" {
		t.Error(got)
	}
}

func unusedOrder(change func(*platform.KnownOrder)) platform.KnownOrder {
	o := platform.KnownOrder{Phase: "Issued", Confirmed: true, Codes: map[string]platform.KnownCode{"h1:" + cert1: {}, "h1:" + cert2: {}}}
	change(&o)
	return o
}

func TestRefundApply(t *testing.T) {
	both := `{"order_id":"` + testOrder + `","after_sale_id":"7","certificates":[{"certificate_id":"` + cert1 + `","code":"` + code1 + `"},{"certificate_id":"` + cert2 + `","code":"` + code2 + `"}]}`
	one := `{"order_id":"` + testOrder + `","certificate_id":"` + cert1 + `","code":"` + code1 + `"}`
	never := strings.ReplaceAll(both, code2, "")
	set := func(id string, code platform.KnownCode) func(*platform.KnownOrder) {
		return func(o *platform.KnownOrder) { o.Codes["h1:"+id] = code }
	}
	phase := func(phase string, ids ...string) func(*platform.KnownOrder) {
		return func(o *platform.KnownOrder) {
			o.Phase = phase
			for _, id := range ids {
				delete(o.Codes, "h1:"+id)
			}
		}
	}
	const (
		pending  = platform.ResultPending
		approved = platform.ResultApproved
		refused  = platform.ResultRefused
	)
	cases := map[string]struct {
		body     string
		decision string
		unknown  bool
		order    func(*platform.KnownOrder)
		want     platform.Result
	}{
		"unused":                  {body: both, want: approved},
		"one unused":              {body: one, want: approved},
		"by hand":                 {body: both, decision: DecideManual, want: pending},
		"order unknown":           {body: both, unknown: true, want: pending},
		"order not confirmed":     {body: both, order: func(o *platform.KnownOrder) { o.Confirmed = false }, want: pending},
		"a code that is not ours": {body: both, order: phase("Issued", cert2), want: pending},
		"all used": {body: both, order: func(o *platform.KnownOrder) {
			set(cert1, platform.KnownCode{Used: 1})(o)
			set(cert2, platform.KnownCode{Used: 1})(o)
		}, want: refused},
		"one used":                 {body: one, order: set(cert1, platform.KnownCode{Used: 1}), want: refused},
		"the other used":           {body: one, order: set(cert2, platform.KnownCode{Used: 1}), want: approved},
		"one of two used":          {body: both, order: set(cert2, platform.KnownCode{Used: 1}), want: pending},
		"use not told":             {body: one, order: set(cert1, platform.KnownCode{UseUnknown: true}), want: pending},
		"one refunded":             {body: both, order: set(cert2, platform.KnownCode{Refunded: 1}), want: pending},
		"used and refunded":        {body: one, order: set(cert1, platform.KnownCode{Used: 1, Refunded: 1}), want: pending},
		"issued by count":          {body: one, order: func(o *platform.KnownOrder) { o.Codes = map[string]platform.KnownCode{"h1:" + code1: {}} }, want: approved},
		"never issued, paid":       {body: never, order: phase("Paid", cert2), want: approved},
		"never issued, issuing":    {body: never, order: phase("Issuing", cert2), want: approved},
		"never issued, unpaid":     {body: never, order: phase("Pending", cert2), want: approved},
		"never issued, but issued": {body: never, order: phase("Issued", cert2), want: pending},
		"never issued, but ours":   {body: never, order: phase("Paid"), want: pending},
		"never issued, other used": {body: never, order: func(o *platform.KnownOrder) { phase("Paid", cert2)(o); set(cert1, platform.KnownCode{Used: 1})(o) }, want: pending},
		"none named":               {body: `{"order_id":"` + testOrder + `","after_sale_id":"7"}`, want: pending},
		"no codes at all, paid":    {body: strings.ReplaceAll(never, code1, ""), order: phase("Paid", cert1, cert2), want: approved},
	}
	numbers := map[platform.Result]string{pending: `"result":0`, approved: `"result":1`, refused: `"result":2,"reason":"` + usedReason + `"`}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := holder(func(s *Settings) { s.RefundDecision = DecideUnused })
			if tc.decision != "" {
				h = holder(func(s *Settings) { s.RefundDecision = tc.decision })
			}
			k := known()
			if !tc.unknown {
				order := unusedOrder(func(o *platform.KnownOrder) {
					if tc.order != nil {
						tc.order(o)
					}
				})
				k = knowing(testOrder, order)
			}
			i := inquiry(t, sceneRefundApply, tc.body)
			first := answer(t, i, h, k)
			n := first.Events[0].Order
			want := `{"data":{"error_code":0,"description":"success",` + numbers[tc.want] + `}}`
			if string(first.Reply.Body) != want || n.Replied.Result != tc.want || n.Kind != kindRefundRequested {
				t.Errorf("%s as %s, want %s", first.Reply.Body, n.Replied.Result, want)
			}
			deadline := time.Time{}
			if tc.want == pending {
				deadline = testNow.Add(24 * time.Hour)
			}
			if !n.Deadline.Equal(deadline) {
				t.Errorf("deadline %s", n.Deadline)
			}
			// Whatever was found since, and whatever the policy is now: the answer of then.
			for _, later := range []platform.KnownOrder{{}, unusedOrder(func(*platform.KnownOrder) {})} {
				later.Recorded = recorded(first, k.CodeID)
				again := answer(t, i, holder(nil), knowing(testOrder, later))
				if !cmp.Equal(again.Reply, first.Reply) || !again.Recorded || len(again.Events) != 0 {
					t.Errorf("asked again: %s", again.Reply.Body)
				}
			}
		})
	}
}

// What a refund is called: by the platform's id, else by its only certificate, else by all
// of them, in whatever order.
func TestRefundIDs(t *testing.T) {
	id := func(body string) (message, refund string) {
		n := answer(t, inquiry(t, sceneRefundApply, body), holder(nil), known()).Events[0].Order
		return n.MessageID, n.Refund.ID
	}
	list := func(ids ...string) string {
		var entries []string
		for _, id := range ids {
			entries = append(entries, `{"certificate_id":"`+id+`"}`)
		}
		return `{"order_id":"1","certificates":[` + strings.Join(entries, ",") + `]}`
	}
	if m, r := id(`{"order_id":"1","after_sale_id":"7","certificates":[{"certificate_id":"3"}]}`); m != "refund_apply:1:7" || r != "7" {
		t.Errorf("%s, %s", m, r)
	}
	if m, r := id(list("3")); !strings.HasPrefix(m, "refund_apply:1:sha256:") || r != "3" {
		t.Errorf("%s, %s", m, r)
	}
	m1, r1 := id(list("3", "4"))
	m2, r2 := id(list("4", "3"))
	m3, r3 := id(list("3", "5"))
	if m1 != m2 || r1 != r2 || m1 == m3 || r1 == r3 || !strings.HasPrefix(r1, hashPrefix) {
		t.Errorf("%s %s, %s %s, %s %s", m1, r1, m2, r2, m3, r3)
	}
	// A notice of a refusal is another than that of the refund which may follow.
	notice := func(result string) string {
		m, err := Adapter{}.Open(scenePush(sceneRefundNotice, `{"order_id":"1","notice_list":[{"certificate_id":"3","audit_result":`+result+`}]}`, testSecret))
		if err != nil {
			t.Fatal(err)
		}
		events, err := m.Events()
		if err != nil {
			t.Fatal(err)
		}
		return events[0].Order.MessageID
	}
	if a, b := notice("1"), notice("2"); a == b || notice(`"2"`) != b {
		t.Errorf("%s, %s", a, b)
	}
}

func TestRefundAnswerThatIsNone(t *testing.T) {
	k := knowing(testOrder, platform.KnownOrder{Recorded: map[string]platform.Recorded{"refund_apply:" + testOrder + ":7": {Result: "Issued"}}})
	if _, err := inquiry(t, sceneRefundApply, `{"order_id":"`+testOrder+`","after_sale_id":"7"}`).Answer(holder(nil), k); err == nil {
		t.Error("answered")
	}
}

func TestStatusQuery(t *testing.T) {
	issued := answer(t, inquiry(t, sceneIssueCodes, issueBody), holder(generate), known())
	counted := answer(t, inquiry(t, sceneIssueCodes, `{"order_id":"2","count":2}`), holder(generate), known())
	waiting := answer(t, inquiry(t, sceneIssueCodes, `{"order_id":"3","count":1}`), holder(nil), known())
	stale := recorded(issued, known().CodeID)
	for id, r := range stale {
		r.CodeIDs = []string{"h1:another", r.CodeIDs[1]}
		stale["issue_codes:4"] = r
		delete(stale, id)
	}
	k := known()
	k.Orders = map[string]platform.KnownOrder{
		testOrder: {OutOrderID: "T-1", Phase: "Issued", Recorded: recorded(issued, k.CodeID)},
		"2":       {Phase: "Used", Recorded: recorded(counted, k.CodeID)},
		"3":       {Phase: "Issuing", Recorded: recorded(waiting, k.CodeID)},
		"4":       {Phase: "Failed", Recorded: stale},
		"5":       {Phase: "Pending"},
	}
	i := inquiry(t, sceneStatusQuery, `{"scene":"x","order_ids":["5",4,"3","2","2","`+testOrder+`","unknown"]}`)
	if diff := cmp.Diff([]string{testOrder, "2", "3", "4", "5", "unknown"}, i.Asks().Orders); diff != "" {
		t.Errorf("Asks() (-want +got):\n%s", diff)
	}
	a := answer(t, i, holder(nil), k)
	var got struct {
		Data struct{ Result map[string]map[string]any }
	}
	if err := json.Unmarshal(a.Reply.Body, &got); err != nil || len(a.Events) != 0 {
		t.Fatal(err)
	}
	want := map[string]map[string]any{
		testOrder: {"order_id": testOrder, "out_order_id": "T-1", "order_status": 201.0,
			"codes": []any{"MADE-" + testOrder + "-" + cert1, "MADE-" + testOrder + "-" + cert2}},
		"2": {"order_id": "2", "order_status": 1.0, "codes": []any{"MADE-2-#1", "MADE-2-#2"}},
		"3": {"order_id": "3", "order_status": 200.0},
		"4": {"order_id": "4", "order_status": 101.0},
		"5": {"order_id": "5", "order_status": 100.0},
	}
	if diff := cmp.Diff(want, got.Data.Result); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	none := answer(t, inquiry(t, sceneStatusQuery, `{"order_ids":["9"]}`), holder(nil), known())
	if got := string(none.Reply.Body); got != `{"data":{"error_code":0,"description":"success","result":{}}}` {
		t.Error(got)
	}
	hundred := make([]string, 100)
	for i := range hundred {
		hundred[i] = fmt.Sprintf(`"%d"`, i)
	}
	if got := len(inquiry(t, sceneStatusQuery, `{"order_ids":[`+strings.Join(hundred, ",")+`]}`).Asks().Orders); got != 100 {
		t.Errorf("asks for %d orders", got)
	}
}

func TestMemberInfo(t *testing.T) {
	body := func(mobile string) string {
		return `{"open_id":"o","account_id":"` + testAccount + `","update_time":"1709705974","info":{"mobile":{"old_mobile":"x","new_mobile":"` + mobile + `"}}}`
	}
	wrapped, err := json.Marshal(map[string]string{"content": body(encrypted(testSecret, "13812345678"))})
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(s *Settings) { s.MemberUpdates, s.MemberReason = MembersRefused, "到店修改" }
	cases := map[string]struct {
		body   string
		change func(*Settings)
		code   int
		text   string
	}{
		"accepted":               {body(encrypted(testSecret, "13812345678")), nil, 0, "success"},
		"by the previous secret": {body(encrypted(oldSecret, "13812345678")), nil, 0, "success"},
		"by the platform":        {body("Enc.abc"), nil, 0, "success"},
		"in a wrapper":           {string(wrapped), nil, 0, "success"},
		"as an object":           {`{"content":` + body(encrypted(testSecret, "13812345678")) + `}`, nil, 0, "success"},
		"of something else":      {`{"open_id":"o","update_time":"1","info":{}}`, nil, 0, "success"},
		"by nobody":              {body(encrypted("another", "13812345678")), nil, 11, "手机号无法解密"},
		"in clear":               {body("13812345678"), nil, 11, "手机号无法解密"},
		"refused":                {body(encrypted(testSecret, "13812345678")), refuse, 11, "到店修改"},
		"refused, no reason":     {body("x"), func(s *Settings) { s.MemberUpdates = MembersRefused }, 11, "商家暂不支持修改会员信息"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			i := inquiry(t, sceneMemberInfo, tc.body)
			if diff := cmp.Diff(platform.Lookup{}, i.Asks()); diff != "" {
				t.Errorf("Asks() %s", diff)
			}
			a := answer(t, i, holder(tc.change), known())
			if want := fmt.Sprintf(`{"data":{"error_code":%d,"description":%q}}`, tc.code, tc.text); string(a.Reply.Body) != want {
				t.Errorf("%s, want %s", a.Reply.Body, want)
			}
			if (len(a.Events) == 1) != (tc.code == 0) {
				t.Errorf("%d events", len(a.Events))
			}
			shown, err := json.Marshal(a)
			if err != nil || strings.Contains(string(shown)+fmt.Sprintf("%+v", a), "13812345678") {
				t.Errorf("the number is shown: %v", err)
			}
		})
	}
	n := answer(t, inquiry(t, sceneMemberInfo, body("Enc.x")), holder(nil), known()).Events[0].Notice
	want := &platform.Notice{MessageID: "member_info_update:o:1709705974", PlatformType: sceneMemberInfo, Subject: "o", Detail: "a member's telephone number changes"}
	if diff := cmp.Diff(want, n); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := inquiry(t, sceneMemberInfo, body("x")).Answer(platform.Holder{}, known()); !errors.Is(err, platform.ErrCredentials) {
		t.Errorf("without a secret: %v", err)
	}
}

// A request without an id of its own is another one once the one before was decided, and
// waits for a decision again; one with an id is always the same.
func TestRefundAskedForAgain(t *testing.T) {
	const without = `{"order_id":"` + testOrder + `","certificate_id":"` + cert1 + `","code":"` + code1 + `"}`
	const with = `{"order_id":"` + testOrder + `","after_sale_id":"7","certificate_id":"` + cert1 + `","code":"` + code1 + `"}`
	for name, test := range map[string]struct {
		body  string
		later platform.Result
		same  bool
	}{
		"undecided":                {without, "", true},
		"refused since":            {without, platform.ResultRefused, false},
		"approved since":           {without, platform.ResultApproved, false},
		"refused since, has an id": {with, platform.ResultRefused, true},
	} {
		i := inquiry(t, sceneRefundApply, test.body)
		first := answer(t, i, holder(nil), known())
		k := known()
		order := platform.KnownOrder{Phase: "Issued", Recorded: recorded(first, k.CodeID)}
		id := first.Events[0].Order.MessageID
		was := order.Recorded[id]
		was.Later = string(test.later)
		order.Recorded[id] = was
		again := answer(t, i, holder(nil), knowing(testOrder, order))
		if again.Recorded != test.same || len(again.Events) == 1 && again.Events[0].Order.MessageID == id {
			t.Errorf("%s: %+v", name, again)
		}
		if test.same {
			continue
		}
		// The second is recorded, too, and asked again is itself.
		maps.Copy(order.Recorded, recorded(again, k.CodeID))
		if third := answer(t, i, holder(nil), knowing(testOrder, order)); !third.Recorded {
			t.Errorf("%s: the second is asked for a third time: %+v", name, third)
		}
	}
}

// What was used a moment ago must be seen before a refund is decided.
func TestRefundLooksPastTheCache(t *testing.T) {
	if !inquiry(t, sceneRefundApply, `{"order_id":"1","certificate_id":"2"}`).Asks().Fresh {
		t.Error("a cache would do")
	}
}

// A certificate tells of its last refund only: a refund that was refused stays so when
// another of the same certificate is made.
func TestDecidedRefundsStayDecided(t *testing.T) {
	for status, want := range map[string]*bool{"25": new(false), "40": new(false), "50": new(true), "59": new(false), "10": new(true), "": new(true)} {
		entry, _ := fields.Parse([]byte(`{"after_sale_id":"7","certificate_id":"c","refund_status":"` + status + `"}`))
		fact, told := readRefund(entry, []certificate{{Code: platform.Code{ID: "c", Text: sealing.NewSecret("X")}, status: certificateRefunded}})
		if !told || fact.Succeeded == nil || *fact.Succeeded != *want {
			t.Errorf("refund_status %q: %v, %+v", status, told, fact)
		}
	}
}
