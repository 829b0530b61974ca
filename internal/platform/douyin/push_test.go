package douyin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/platform/golden"
)

var testNow = time.UnixMilli(1_722_175_900_000).UTC()

// read is what is read of a push, for golden files.
type read struct {
	Account, Type string
	Events        []platform.Event
	// Echo of a challenge.
	Echo string `json:",omitempty"`
}

func decode(p platform.Push) (read, error) {
	m, err := Adapter{}.Open(p)
	if err != nil {
		return read{}, err
	}
	events, err := m.Events()
	r := read{Account: m.Account(), Type: m.Type(), Events: events}
	if c, ok := m.(platform.Challenge); ok {
		r.Echo = string(c.Echo().Body)
	}
	return r, err
}

func TestEventGolden(t *testing.T) {
	types := map[string]bool{}
	for _, file := range golden.Inputs(t, "push") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			got, err := decode(eventPush(string(golden.Read(t, file)), ""))
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, file+".golden", got)
			types[got.Type] = true
			for _, event := range got.Events {
				checkEvent(t, event)
			}
		})
	}
	for event := range eventReaders {
		if !types[event] {
			t.Errorf("no test file of %s", event)
		}
	}
	if !types[typeUnknown] || !types[eventVerify] {
		t.Error("no test file of an unknown event, or of verify_webhook")
	}
}

// The golden files redact codes: their texts are checked here.
func TestEventCodes(t *testing.T) {
	for file, want := range map[string]string{
		"made-certificate-verify.json": "S3CRETCODE0001", "made-certificate-verify-cancel.json": "", "made-after-sale.json": "",
	} {
		got, err := decode(eventPush(string(golden.Read(t, filepath.Join("testdata", "push", file))), ""))
		if err != nil {
			t.Fatal(err)
		}
		if code := got.Events[0].Order.Codes[0]; code.Text.Reveal() != want || code.ID != "7379746762393143301" {
			t.Errorf("%s: code %q of %q", file, code.Text.Reveal(), code.ID)
		}
	}
}

// The seed's samples are the merchant's own: they are kept to the byte.
func TestSeedIsKept(t *testing.T) {
	for file, want := range map[string]string{
		"seed-product-audit.json":  "f54a393259c9870ded62f07d3f17d50506308f6338d553f59a5302c4dd557eaf",
		"seed-product-status.json": "99aefa46b0363868b01769eaf28c5660afbd47ed38c6d961c34eacbe9319861f",
		"seed-order-notify.json":   "b333914f8f26e1fc528151a615e1127b4ffb26912f1633e1a1c1090cb40a9a02",
	} {
		digest := sha256.Sum256(golden.Read(t, filepath.Join("testdata", "push", file)))
		if got := hex.EncodeToString(digest[:]); got != want {
			t.Errorf("%s was altered: %s", file, got)
		}
	}
}

// Which of its ids a push has: the header's, else the body's, else one of what it says.
func TestEventID(t *testing.T) {
	without := `{"event":"life_product_status_change","client_key":"k","log_id":"1","content":"{\"product_id\":\"1\"}"}`
	id := func(body, header string) string {
		p := eventPush(body, "")
		if header != "" {
			p.Header.Set("Msg-Id", header)
		}
		got, err := decode(p)
		if err != nil {
			t.Fatal(err)
		}
		return got.Events[0].Product.MessageID
	}
	with := strings.Replace(without, `"log_id"`, `"msg_id":"body","log_id"`, 1)
	for _, tc := range []struct{ body, header, want string }{
		{with, "header", "header"}, {with, "", "body"}, {without, "header", "header"}, {with, strings.Repeat("h", 129), hashed(strings.Repeat("h", 129))},
	} {
		if got := id(tc.body, tc.header); got != tc.want {
			t.Errorf("id %q, want %q", got, tc.want)
		}
	}
	same := strings.Replace(without, `"log_id":"1"`, `"log_id":"2"`, 1)
	other := strings.Replace(without, `\"1\"`, `\"2\"`, 1)
	if a := id(without, ""); a != id(same, "") || a == id(other, "") || !strings.HasPrefix(a, hashPrefix) || len(a) > fields.MaxID {
		t.Errorf("id %q: the same said again must be the same, and nothing else", a)
	}
}

func TestEventMalformed(t *testing.T) {
	const (
		paid    = `{"event":"life_trade_order_notify","client_key":"k","content":{"action":"pay_success","msg_time":1722175826,"order":{"order_id":"5","account_id":"s3cret"}}}`
		used    = `{"event":"life_trade_certificate_notify","client_key":"k","content":{"action":"verify","certificate":{"order_id":"5","certificate_id":"6","code":"s3cret"}}}`
		after   = `{"event":"life_hermes_akte_after_sale_audit","client_key":"k","content":{"order_id":"5","certificate_id":"6","refund_amount":1}}`
		product = `{"event":"life_product_status_change","client_key":"k","content":"{\"product_id\":\"8\"}"}`
		asked   = `{"event":"verify_webhook","client_key":"","content":{"challenge":12345}}`
		unknown = `{"event":"new","client_key":"k","content":"{}"}`
		booking = `{"event":"life_hermes_akte_booking_config_result","client_key":"k","content":"{}"}`
	)
	long := strings.Repeat("9", 129)
	cases := map[string]struct {
		body     string
		old, new string // replaced in the body
		names    string // what the error must name
	}{
		"empty":                    {"", "", "", "body"},
		"not JSON":                 {"{", "", "", "body"},
		"a list":                   {"[" + paid + "]", "", "", "body"},
		"null":                     {"null", "", "", "body"},
		"data behind the value":    {paid + paid, "", "", "body"},
		"no event":                 {paid, `"event"`, `"x"`, "event"},
		"blank event":              {paid, `life_trade_order_notify`, `\u0000 `, "event"},
		"event is an object":       {paid, `"life_trade_order_notify"`, `{}`, "event"},
		"no app":                   {paid, `"client_key":"k"`, `"x":1`, "client_key"},
		"empty app":                {paid, `"k"`, `""`, "client_key"},
		"no app, unknown":          {unknown, `"k"`, `""`, "client_key"},
		"long app":                 {paid, `"k"`, `"` + long + `"`, "client_key"},
		"content is no JSON":       {product, `"{\"product_id\":\"8\"}"`, `"s3cret"`, "content"},
		"content is cut":           {product, `\"8\"}"`, `\"8\""`, "content"},
		"content and more":         {product, `\"8\"}"`, `\"8\"}{}"`, "content"},
		"content is a list":        {product, `"{\"product_id\":\"8\"}"`, `[]`, "content"},
		"content is a number":      {product, `"{\"product_id\":\"8\"}"`, `5`, "content"},
		"no content":               {product, `"content"`, `"x"`, "content"},
		"empty content":            {product, `"{\"product_id\":\"8\"}"`, `""`, "content"},
		"unknown, not JSON":        {unknown, `"{}"`, `"s3cret"`, "content"},
		"booking, not JSON":        {booking, `"{}"`, `"s3cret"`, "content"},
		"msg_id is an object":      {paid, `"client_key":"k"`, `"client_key":"k","msg_id":{}`, "msg_id"},
		"no product":               {product, `product_id`, `x`, "product_id"},
		"fractional product":       {product, `\"8\"`, `1.5`, "product_id"},
		"long product":             {product, `\"8\"`, `\"` + long + `\"`, "product_id"},
		"no order":                 {paid, `"order":`, `"x":`, "order"},
		"order is a text":          {paid, `"order":{"order_id":"5","account_id":"s3cret"}`, `"order":"s3cret"`, "order"},
		"order without id":         {paid, `"order_id"`, `"x"`, "order.order_id"},
		"control character":        {paid, `"5"`, `"5\u0000"`, "order.order_id"},
		"time in the far future":   {paid, `1722175826`, `99999999999`, "msg_time"},
		"time is a text":           {paid, `1722175826`, `"s3cret"`, "msg_time"},
		"action is a list":         {paid, `"pay_success"`, `[]`, "action"},
		"no certificate":           {used, `"certificate":`, `"x":`, "certificate"},
		"certificate without id":   {used, `"certificate_id"`, `"x"`, "certificate.certificate_id"},
		"certificate of no order":  {used, `"order_id"`, `"x"`, "certificate.order_id"},
		"code is a fraction":       {used, `"s3cret"`, `1.5`, "certificate.code"},
		"refund of no order":       {after, `"order_id"`, `"x"`, "order_id"},
		"refund of no certificate": {after, `"certificate_id"`, `"x"`, "certificate_id"},
		"negative refund":          {after, `"refund_amount":1`, `"refund_amount":-1`, "refund_amount"},
		"no challenge":             {asked, `"challenge"`, `"x"`, "challenge"},
		"challenge is a text":      {asked, `12345`, `"12345"`, "challenge"},
		"challenge is null":        {asked, `12345`, `null`, "challenge"},
		"challenge is true":        {asked, `12345`, `true`, "challenge"},
		"challenge is an object":   {asked, `12345`, `{}`, "challenge"},
		"challenge is a list":      {asked, `12345`, `[1]`, "challenge"},
		"challenge is too long":    {asked, `12345`, strings.Repeat("1", 65), "challenge"},
		"challenge without it all": {asked, `{"challenge":12345}`, `5`, "challenge"},
		"challenge in no JSON":     {asked, `{"challenge":12345}`, `"challenge"`, "content"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(tc.body, tc.old, tc.new, 1)
			if tc.old != "" && body == tc.body {
				t.Fatal("the case replaces nothing")
			}
			got, err := decode(eventPush(body, ""))
			if !errors.Is(err, platform.ErrMalformed) {
				t.Fatalf("decode() = %v, %v; want an error that wraps ErrMalformed", got, err)
			}
			if !strings.Contains(err.Error(), tc.names) {
				t.Errorf("%q does not name %q", err, tc.names)
			}
			if strings.Contains(err.Error(), long) {
				t.Errorf("%q quotes the push", err)
			}
			checkNoSecret(t, err)
		})
	}
	if _, err := (Adapter{}).Open(platform.Push{Path: "elsewhere", Body: []byte(paid)}); !errors.Is(err, platform.ErrMalformed) {
		t.Errorf("another path: %v", err)
	}
}

// The challenge comes back as it was written, whoever asks; a signature that is there must
// be right.
func TestChallenge(t *testing.T) {
	for content, want := range map[string]string{
		`{"challenge":12345}`:             `{"challenge":12345}`,
		`"{ \"challenge\": 12345 }"`:      `{"challenge":12345}`,
		`{"challenge":-1.50e+3}`:          `{"challenge":-1.50e+3}`,
		`{"challenge":9007199254740993 }`: `{"challenge":9007199254740993}`,
	} {
		body := `{"event":"verify_webhook","client_key":"","content":` + content + `}`
		m, err := Adapter{}.Open(eventPush(body, ""))
		if err != nil {
			t.Fatal(err)
		}
		c := m.(platform.Challenge)
		if diff := cmp.Diff(platform.Reply{Status: http.StatusOK, ContentType: "application/json", Body: []byte(want)}, c.Echo()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if events, err := c.Events(); len(events) != 0 || err != nil {
			t.Errorf("Events() = %v, %v", events, err)
		}
	}
	for sign, want := range map[string]error{"": nil, vectorSHA1: nil, strings.ToUpper(vectorSHA1): nil, strings.Repeat("0", 40): platform.ErrForged} {
		h := holder(nil)
		h.ID = "abc" // the app that the vector names
		m, err := Adapter{}.Open(eventPush(vectorBody, sign))
		if err != nil {
			t.Fatal(err)
		}
		proof, err := m.Verify(h)
		signed := m.(platform.Challenge).Signed()
		if signed != (sign != "") || err == nil && (proof == platform.ProofSigned) != signed || !errors.Is(err, want) {
			t.Errorf("sign %q: Verify() = %v, %v", sign, proof, err)
		}
	}
}

// Events may be read as often as one likes, also at once, and say the same.
func TestEventsAreRepeatable(t *testing.T) {
	m, err := Adapter{}.Open(eventPush(`{"event":"life_product_status_change","client_key":"k","content":{"product_id":{}}}`, ""))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { _, errs[i] = m.Events() })
	}
	wg.Wait()
	for _, err := range errs {
		if err == nil || err.Error() != errs[0].Error() {
			t.Errorf("%v, and %v", errs[0], err)
		}
	}
}

// The kinds are the API's own: a typo here would be a push that is never recorded.
func TestKinds(t *testing.T) {
	for got, want := range map[string]v1alpha1.NotificationType{
		kindCodesRequested:   v1alpha1.NotificationCodesRequested,
		kindCodesIssued:      v1alpha1.NotificationCodesIssued,
		kindCodeUsed:         v1alpha1.NotificationCodeUsed,
		kindCodeUseCancelled: v1alpha1.NotificationCodeUseCancelled,
		kindPaid:             v1alpha1.NotificationPaid,
		kindRefundRequested:  v1alpha1.NotificationRefundRequested,
		kindRefunded:         v1alpha1.NotificationRefunded,
		kindStatusChanged:    v1alpha1.NotificationStatusChanged,
		kindBooking:          v1alpha1.NotificationBooking,
	} {
		if got != string(want) {
			t.Errorf("kind %q, want %q", got, want)
		}
	}
	for _, phase := range []v1alpha1.OrderPhase{
		v1alpha1.OrderPending, v1alpha1.OrderPaid, v1alpha1.OrderIssuing, v1alpha1.OrderIssued, v1alpha1.OrderPartlyUsed, v1alpha1.OrderUsed,
		v1alpha1.OrderRefundRequested, v1alpha1.OrderPartlyRefunded, v1alpha1.OrderRefunded, v1alpha1.OrderCancelled, v1alpha1.OrderFailed,
	} {
		if _, ok := orderNumbers[string(phase)]; !ok {
			t.Errorf("phase %s has no number", phase)
		}
	}
}

func TestReplyToEvents(t *testing.T) {
	for outcome, status := range map[platform.Outcome]int{
		platform.OutcomeRecorded: 200, platform.OutcomeDuplicate: 200, platform.OutcomeOlder: 200, platform.OutcomeAnswered: 200,
		platform.OutcomeMalformed: 400, platform.OutcomeForged: 403, platform.OutcomeUnknownAccount: 404, platform.OutcomeTooLarge: 413,
		platform.OutcomeRetry: 503, platform.Outcome("new"): 503,
	} {
		want := platform.Reply{Status: status, ContentType: "application/json", Body: []byte("{}")}
		if diff := cmp.Diff(want, Adapter{}.Reply(pathEvents, outcome, "")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", outcome, diff)
		}
	}
}

func TestReplyToScenes(t *testing.T) {
	type want struct {
		status, code int
	}
	of := func(scene string) map[platform.Outcome]want {
		refused, retry := want{200, 200}, want{200, 100}
		if scene == scenePreCreate {
			refused, retry = want{200, 20}, want{503, 100}
		}
		return map[platform.Outcome]want{
			platform.OutcomeRecorded: {200, 0}, platform.OutcomeDuplicate: {200, 0}, platform.OutcomeOlder: {200, 0}, platform.OutcomeAnswered: {200, 0},
			platform.OutcomeMalformed: refused, platform.OutcomeUnknownAccount: refused, platform.OutcomeTooLarge: refused,
			platform.OutcomeForged: {401, 401}, platform.OutcomeRetry: retry, platform.Outcome("new"): retry,
		}
	}
	for scene := range openers {
		for outcome, want := range of(scene) {
			reply := Adapter{}.Reply(prefixSPI+scene, outcome, "")
			if code := codeOf(t, reply); reply.Status != want.status || code != want.code {
				t.Errorf("%s, %s: status %d, error_code %d; want %d, %d", scene, outcome, reply.Status, code, want.status, want.code)
			}
		}
	}
	if got := string(Adapter{}.Reply("spi/refund_notice", platform.OutcomeRecorded, "").Body); got != `{"data":{"error_code":0,"description":"success"}}` {
		t.Errorf("accepted: %s", got)
	}
}

// codeOf a reply, read as strictly as the platform does: everything in data, a number.
func codeOf(t testing.TB, reply platform.Reply) int {
	t.Helper()
	var body map[string]map[string]json.RawMessage
	if err := json.Unmarshal(reply.Body, &body); err != nil || len(body) != 1 || reply.ContentType != "application/json" {
		t.Fatalf("%s %s: %v", reply.ContentType, reply.Body, err)
	}
	var code int
	var text string
	if json.Unmarshal(body["data"]["error_code"], &code) != nil || json.Unmarshal(body["data"]["description"], &text) != nil || text == "" {
		t.Fatalf("%s", reply.Body)
	}
	return code
}

func TestSettings(t *testing.T) {
	cases := map[string]Settings{
		``:     defaultSettings(),
		`null`: defaultSettings(),
		`{}`:   defaultSettings(),
		`{"accountID":"7","thirdPartyCodes":{"source":"Generate"},"refunds":{"decision":"ApproveUnused"},"members":{"updates":"Refuse","reason":"no"},"allowLegacySign":true}`: {
			AccountID: "7", CodeSource: SourceGenerate, RefundDecision: DecideUnused, MemberUpdates: MembersRefused, MemberReason: "no", AllowLegacySign: true},
		`{"thirdPartyCodes":{"source":"External"},"refunds":{"decision":"Manual"},"members":{"updates":"Accept"}}`: defaultSettings(),
	}
	for block, want := range cases {
		got, err := Adapter{}.Settings(json.RawMessage(block))
		if err != nil || got != any(want) {
			t.Errorf("%s: %+v, %v", block, got, err)
		}
	}
	for _, block := range []string{`[]`, `{`, `{"thirdPartyCodes":{"source":"None"}}`, `{"refunds":{"decision":"Always"}}`, `{"members":{"updates":"Maybe"}}`} {
		if _, err := (Adapter{}).Settings(json.RawMessage(block)); err == nil {
			t.Errorf("%s is taken", block)
		}
	}
	// The API's own block reads as it is written.
	block, err := json.Marshal(v1alpha1.DouyinChannel{
		AccountID: "7", ThirdPartyCodes: &v1alpha1.DouyinThirdPartyCodes{Source: SourceGenerate}, Refunds: &v1alpha1.DouyinRefunds{Decision: DecideUnused},
		Members: &v1alpha1.DouyinMembers{Updates: MembersRefused, Reason: "no"}, AllowLegacySign: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Adapter{}.Settings(block)
	want := Settings{"7", SourceGenerate, DecideUnused, MembersRefused, "no", true}
	if err != nil || got != any(want) {
		t.Errorf("%+v, %v", got, err)
	}
}

// allPushes are the samples, each at its path.
func allPushes(t testing.TB) []platform.Push {
	t.Helper()
	var pushes []platform.Push
	for _, file := range golden.Inputs(t, "push") {
		pushes = append(pushes, signedEvent(golden.Read(t, file)))
	}
	for _, file := range golden.Inputs(t, "spi") {
		pushes = append(pushes, scenePush(sceneOf(file), string(golden.Read(t, file)), testSecret))
	}
	return pushes
}

func signedEvent(body []byte) platform.Push {
	return eventPush(string(body), eventSign(testSecret, body))
}

// Whatever a body is changed to, it is refused as malformed, or as forged, or it says the
// same as before. Nothing panics.
func TestMutations(t *testing.T) {
	pushes := allPushes(t)
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(pushes).Draw(t, "push")
		body := append([]byte(nil), p.Body...)
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			at := rapid.IntRange(0, len(body)-1).Draw(t, "at")
			switch rapid.IntRange(0, 3).Draw(t, "how") {
			case 0:
				body[at] = rapid.Byte().Draw(t, "byte")
			case 1:
				body = append(body[:at], body[min(at+1, len(body)):]...)
			case 2:
				piece := rapid.SampledFrom([]string{`"`, `{`, `[`, `null`, `-1`, `1e9`, `\u0000`, `,`, `""`}).Draw(t, "piece")
				body = append(body[:at:at], append([]byte(piece), body[at:]...)...)
			case 3:
				body = body[:at]
			}
			if len(body) == 0 {
				return
			}
		}
		if string(body) == string(p.Body) {
			return
		}
		p.Body = body
		if err := usable(p); err != nil {
			t.Fatal(err)
		}
	})
}

// usable opens, verifies and reads a push, and gives what breaks a rule.
func usable(p platform.Push) error {
	m, err := Adapter{}.Open(p)
	if err != nil {
		return wellRefused(err, platform.ErrMalformed)
	}
	if _, err := m.Verify(holder(nil)); err != nil {
		if err := wellRefused(err, platform.ErrForged); err != nil {
			return err
		}
	} else if _, ok := m.(platform.Challenge); !ok {
		return errors.New("a changed body verifies")
	}
	if i, ok := m.(platform.Inquiry); ok {
		_ = i.Asks()
		answer, err := i.Answer(holder(nil), known())
		if err == nil && len(answer.Reply.Body) == 0 {
			return errors.New("an inquiry without an answer")
		}
		if err != nil {
			return wellRefused(err, platform.ErrMalformed)
		}
	}
	if _, err := m.Events(); err != nil {
		return wellRefused(err, platform.ErrMalformed)
	}
	return nil
}

func wellRefused(err, want error) error {
	if !errors.Is(err, want) {
		return errors.New("not refused as it should be: " + err.Error())
	}
	if len(err.Error()) > 200 || strings.Contains(err.Error(), "S3CRET") {
		return errors.New("the error quotes the push")
	}
	return nil
}

// FuzzOpen: any body at any path is refused, or read within the API's bounds.
func FuzzOpen(f *testing.F) {
	for _, p := range allPushes(f) {
		f.Add(p.Path, p.Body)
	}
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		p := scenePush(sceneRefundNotice, string(body), testSecret)
		p.Path = path
		m, err := Adapter{}.Open(p)
		if err != nil {
			if err := wellRefused(err, platform.ErrMalformed); err != nil {
				t.Error(err)
			}
			return
		}
		if utf8.RuneCountInString(m.Type()) > fields.MaxID {
			t.Errorf("type %q is not bounded", m.Type())
		}
		events, err := m.Events()
		if err != nil {
			if err := wellRefused(err, platform.ErrMalformed); err != nil {
				t.Error(err)
			}
			return
		}
		if i, ok := m.(platform.Inquiry); ok {
			answer, err := i.Answer(holder(nil), known())
			if err != nil {
				t.Fatal(err)
			}
			codeOf(t, answer.Reply)
			events = answer.Events
		}
		for _, event := range events {
			checkEvent(t, event)
		}
	})
}

// checkEvent checks an event against the API's bounds.
func checkEvent(t *testing.T, event platform.Event) {
	t.Helper()
	switch {
	case event.Product != nil && event.Order == nil && event.Notice == nil:
		p := event.Product
		checkText(t, "product", p.ProductID, 1, fields.MaxID)
		checkText(t, "message", p.MessageID, 1, fields.MaxID)
		checkText(t, "type", p.Type, 1, fields.MaxID)
		if len(p.Aspects) == 0 || !p.ChangedAt.IsZero() {
			t.Error("a change of nothing, or at a time that no push tells")
		}
	case event.Order != nil && event.Product == nil && event.Notice == nil:
		checkNotification(t, event.Order)
	case event.Notice != nil && event.Order == nil && event.Product == nil:
		checkText(t, "message", event.Notice.MessageID, 1, fields.MaxID)
		checkText(t, "type", event.Notice.PlatformType, 1, fields.MaxID)
		checkText(t, "subject", event.Notice.Subject, 0, fields.MaxID)
		checkText(t, "detail", event.Notice.Detail, 0, maxDetail)
	default:
		t.Errorf("not exactly one fact: %+v", event)
	}
}

func checkNotification(t *testing.T, n *platform.OrderNotification) {
	t.Helper()
	checkText(t, "order", n.OrderID, 1, fields.MaxID)
	checkText(t, "message", n.MessageID, 1, fields.MaxID)
	checkText(t, "type", n.PlatformType, 1, fields.MaxID)
	checkText(t, "kind", n.Kind, 1, 32)
	checkText(t, "reason", n.Reason, 0, maxReason)
	if len(n.Codes) > maxUnits {
		t.Errorf("%d codes", len(n.Codes))
	}
	for _, code := range n.Codes {
		checkText(t, "certificate", code.ID, 0, fields.MaxID)
		if code.ID == "" && code.Text.IsZero() {
			t.Error("a code that nothing names")
		}
	}
	if r := n.Refund; r != nil {
		checkText(t, "refund", r.ID, 0, fields.MaxID)
		if r.Amount != nil && *r.Amount < 0 || r.Quantity != nil && *r.Quantity < 1 || r.Currency != currency {
			t.Errorf("refund %+v", r)
		}
	}
	if n.Replied == nil && !n.Deadline.IsZero() {
		t.Error("a deadline for an answer that is not owed")
	}
}

func checkText(t *testing.T, name, text string, least, most int) {
	t.Helper()
	if n := utf8.RuneCountInString(text); n < least || n > most {
		t.Errorf("%s has %d runes", name, n)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("%s %q is not fit to show", name, text)
	}
}

// Every golden file belongs to a sample: one that is left over tests nothing.
func TestNoGoldenIsLeftOver(t *testing.T) {
	for _, folder := range []string{"push", "spi", "api"} {
		goldens, err := filepath.Glob(filepath.Join("testdata", folder, "*.golden"))
		if err != nil {
			t.Fatal(err)
		}
		for _, golden := range goldens {
			if _, err := os.Stat(strings.TrimSuffix(golden, ".golden")); err != nil {
				t.Errorf("%s belongs to nothing", golden)
			}
		}
	}
}
