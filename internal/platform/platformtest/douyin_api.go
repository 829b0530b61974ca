package platformtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DouyinCall is one question the fake was asked, with its parameters by name: those of
// the query, or the fields of the JSON body. Secrets are shown as "…", lists as how many
// entries they have.
type DouyinCall struct {
	CallRecord
	Params map[string]string `json:"params,omitempty"`
}

// douyinParam is what is known of a parameter.
type douyinParam uint8

const (
	// needed must be there (DOC).
	needed douyinParam = 1 << iota
	// zeroOK may be empty or 0, because that says something.
	zeroOK
	// hidden is a secret and never logged.
	hidden
)

// douyinEndpoint is one question. answer runs under the fake's lock.
type douyinEndpoint struct {
	method string
	params map[string]douyinParam
	answer func(*Douyin, douyinCall) (map[string]any, error)
}

// Operations that are named in more places than the table.
const (
	douyinOrderQuery     = "trade/order/query"
	douyinAfterSaleQuery = "akte/after_sale/order/query"
	douyinAfterSale      = "akte/after_sale/order_detail/get"
	douyinCallback       = "fulfilment/create/callback"
	douyinRefundAudit    = "fulfilment/refund/audit"
	douyinAfterSaleAudit = "akte/after_sale/order/audit"
)

// douyinTokenEndpoint hands out access tokens and needs none itself.
var douyinTokenEndpoint = douyinEndpoint{http.MethodPost,
	map[string]douyinParam{"client_key": needed, "client_secret": needed | hidden, "grant_type": needed}, (*Douyin).answerToken}

// douyinEndpoints by name (DOC). Those with which a merchant sells and verifies are not
// part of the fake: this project does neither.
var douyinEndpoints = map[string]douyinEndpoint{
	"goods/product/online/get":        {http.MethodGet, names("product_ids", "out_ids", "account_id"), (*Douyin).answerOnlineGet},
	"goods/product/online/query":      {http.MethodGet, names("account_id", "cursor", "count", "status", "goods_creator_type", "goods_query_type", "poi_ids", "ext_ids", "product_name", "query_all_poi"), (*Douyin).answerOnlineQuery},
	"goods/product/draft/get":         {http.MethodGet, names("product_ids", "out_ids", "account_id"), (*Douyin).answerDraftGet},
	douyinOrderQuery:                  {http.MethodGet, names("account_id*", "order_id", "ext_order_id", "open_id", "order_status", "create_order_start_time", "create_order_end_time", "update_order_start_time", "update_order_end_time", "page_num", "page_size", "get_secret_number", "cursor~"), (*Douyin).answerOrderQuery},
	"fulfilment/certificate/get":      {http.MethodGet, names("encrypted_code!", "code!", "order_id", "account_id"), (*Douyin).answerCertificateGet},
	"fulfilment/certificate/query":    {http.MethodGet, names("encrypted_code!", "order_id", "account_id"), (*Douyin).answerCertificateQuery},
	douyinAfterSaleQuery:              {http.MethodGet, names("account_id*", "page_size*", "cursor~", "create_order_start_time", "create_order_end_time", "refund_done_start_time", "refund_done_end_time", "refund_status"), (*Douyin).answerAfterSaleQuery},
	douyinAfterSale:                   {http.MethodGet, names("account_id*", "order_id*", "certificate_id"), (*Douyin).answerAfterSaleDetail},
	douyinAfterSaleAudit:              {http.MethodPost, names("account_id*", "order_id*", "certificate_id*", "audit_status*~", "reject_reason"), (*Douyin).answerAfterSaleAudit},
	douyinCallback:                    {http.MethodPost, names("order_id*", "result*", "third_order_id", "codes!", "certificates!", "fail_reason", "fail_reason_desc", "voucher!", "vouchers!", "additional_info_list"), (*Douyin).answerCallback},
	douyinRefundAudit:                 {http.MethodPost, names("result*", "after_sale_id", "certificate!", "certificate_id", "code!", "reason", "voucher!"), (*Douyin).answerRefundAudit},
	"partner/order/get":               {http.MethodGet, names("order_id*"), (*Douyin).answerPartnerGet},
	"partner/order/query":             {http.MethodGet, names("account_id", "status", "start_time", "end_time", "page", "size"), (*Douyin).answerPartnerQuery},
	"partner/commission_record/query": {http.MethodGet, names("order_id*", "page", "size"), (*Douyin).answerCommissionQuery},
	"partner/commission_record/get":   {http.MethodGet, names("order_id*", "record_id*"), (*Douyin).answerCommissionGet},
}

// names reads parameters: * needed, ~ may be zero, ! hidden.
func names(list ...string) map[string]douyinParam {
	params := map[string]douyinParam{}
	for _, entry := range list {
		name := strings.TrimRight(entry, "*~!")
		marks := map[byte]douyinParam{'*': needed, '~': zeroOK, '!': hidden}
		for i := len(name); i < len(entry); i++ {
			params[name] |= marks[entry[i]]
		}
		params[name] |= 0
	}
	return params
}

// douyinCall is a question as it came.
type douyinCall struct {
	op string
	// query of a GET; fields of a POST's JSON body, nil where it is no object.
	query  url.Values
	fields map[string]json.RawMessage
	body   []byte
	// empty: a parameter was sent that says nothing, and the platform takes it for a
	// condition that nothing meets.
	empty bool
}

func readDouyinCall(r *http.Request, op string, endpoint douyinEndpoint, body []byte) douyinCall {
	call := douyinCall{op: op, query: r.URL.Query(), body: body}
	if endpoint.method == http.MethodPost {
		_ = json.Unmarshal(body, &call.fields) // checked by check
	}
	return call
}

// values are the parameters by name, as they were written.
func (c douyinCall) values() map[string][]string {
	all := map[string][]string{}
	for name, raw := range c.fields {
		all[name] = []string{string(raw)}
	}
	if c.fields == nil {
		maps.Copy(all, c.query)
	}
	return all
}

// text is a parameter of a GET.
func (c douyinCall) text(name string) string { return c.query.Get(name) }

// number is a whole number of a GET within the bounds; without one it is what is missing.
func (c douyinCall) number(name string, missing, least, most int) (int, error) {
	text := c.text(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, douyinFailure{2100005, fmt.Sprintf("%s is not within %d and %d", name, least, most)}
	}
	return n, nil
}

// subject is what the call log says the question was about.
func (c douyinCall) subject() string {
	values := c.values()
	for _, name := range []string{"order_id", "after_sale_id", "product_ids", "certificate_id", "cursor"} {
		if v := values[name]; len(v) > 0 {
			subject := strings.Trim(v[0], `"`)
			return subject[:min(len(subject), 64)]
		}
	}
	return ""
}

// shown are the parameters without their secrets. What is not known is taken for one.
func (c douyinCall) shown(endpoint douyinEndpoint) map[string]string {
	params := map[string]string{}
	for name, values := range c.values() {
		flags, known := endpoint.params[name]
		text := strings.Trim(strings.Join(values, ","), `"`)
		var list []json.RawMessage
		if json.Unmarshal([]byte(values[0]), &list) == nil && c.fields != nil {
			text = fmt.Sprintf("%d entries", len(list))
		} else if !known || flags&hidden != 0 {
			text = "…"
		}
		params[name[:min(len(name), 64)]] = text[:min(len(text), 128)]
	}
	return params
}

// answer checks who asks and what, and answers.
func (f *Douyin) answer(r *http.Request, endpoint douyinEndpoint, call douyinCall) (map[string]any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wrongForm := f.check(r, endpoint, &call) // complains of what the token would hide, too
	if call.op != douyinTokenOp {
		if err := f.checkToken(r.Header.Get("access-token")); err != nil {
			return nil, err
		}
	}
	if wrongForm != nil {
		return nil, wrongForm
	}
	f.expire()
	return endpoint.answer(f, call)
}

// check checks the form of a call, and complains of what the platform would let pass.
func (f *Douyin) check(r *http.Request, endpoint douyinEndpoint, call *douyinCall) error {
	if r.Method != endpoint.method {
		f.complain("%s: %s in place of %s", call.op, r.Method, endpoint.method)
		return douyinFailure{2100005, endpoint.method + " is needed"}
	}
	if mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); mediaType != "application/json" {
		f.complain("%s: the Content-Type is not application/json", call.op) // needed of all calls (DOC)
	}
	if endpoint.method == http.MethodPost && call.fields == nil {
		f.complain("%s: the body is no JSON object", call.op)
		return douyinFailure{2100005, "the body is no JSON object"}
	}
	if endpoint.method == http.MethodGet && len(bytes.TrimSpace(call.body)) > 0 {
		f.complain("%s: a GET with a body", call.op)
	}
	if root := r.Header.Get("Rpc-Transit-Life-Account"); root != "" && root != f.config.AccountID {
		return douyinFailure{2119005, ""}
	}
	return f.checkParams(endpoint, call)
}

func (f *Douyin) checkParams(endpoint douyinEndpoint, call *douyinCall) error {
	values := call.values()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		flags, known := endpoint.params[name]
		switch {
		case !known:
			f.complain("%s: unknown parameter %q", call.op, name[:min(len(name), 64)])
		case len(values[name]) > 1 && name != "status":
			f.complain("%s: %s is given twice", call.op, name)
		case saysNothing(values[name][0]) && flags&zeroOK == 0:
			f.complain("%s: %s is sent without a value", call.op, name)
			call.empty = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(endpoint.params)) {
		if _, there := values[name]; !there && endpoint.params[name]&needed != 0 {
			return f.lacks(call.op, name)
		}
	}
	if _, known := endpoint.params["account_id"]; known && values["account_id"] != nil {
		if strings.Trim(values["account_id"][0], `"`) != f.config.AccountID {
			return douyinFailure{2119005, ""}
		}
	}
	return nil
}

func (f *Douyin) lacks(op, name string) error {
	f.complain("%s: %s is missing", op, name)
	if op == douyinTokenOp {
		return douyinFailure{10002, name + " is needed"}
	}
	return douyinFailure{2100005, name + " is needed"}
}

// saysNothing reports a zero value, of a query or of JSON.
func saysNothing(raw string) bool {
	return slices.Contains([]string{"", "0", `""`, `"0"`, "null", "[]", "{}", "false"}, strings.TrimSpace(raw))
}

// readBody decodes a POST into a struct of the documented types.
func (f *Douyin) readBody(call douyinCall, into any) error {
	if err := json.Unmarshal(call.body, into); err != nil {
		field := "the body"
		if wrong, ok := err.(*json.UnmarshalTypeError); ok && wrong.Field != "" { //nolint:errorlint // json wraps nothing
			field = wrong.Field
		}
		f.complain("%s: %s has the wrong type", call.op, field)
		return douyinFailure{2100005, field + " has the wrong type"}
	}
	return nil
}

const (
	// douyinTokenGrace is how long a token outlives its successor's birth (DOC).
	douyinTokenGrace = 5 * time.Minute
	// douyinTokenCalls in five minutes are too many (DOC).
	douyinTokenCalls = 500
)

// douyinTokens are the access tokens, under the fake's lock.
type douyinTokens struct {
	made  []douyinToken // the oldest first; only the two newest can be alive
	asked []time.Time   // in the last five minutes
}

type douyinToken struct {
	text    string
	until   time.Time
	unknown bool
}

// answerToken hands out a token (DOC).
func (f *Douyin) answerToken(call douyinCall) (map[string]any, error) {
	var request struct {
		ClientKey    string `json:"client_key"`
		ClientSecret string `json:"client_secret"`
		GrantType    string `json:"grant_type"`
	}
	if f.readBody(call, &request) != nil || request.GrantType != "client_credential" {
		return nil, douyinFailure{10002, ""}
	}
	now := f.now()
	f.tokens.asked = append(slices.DeleteFunc(f.tokens.asked, func(t time.Time) bool { return now.Sub(t) >= 5*time.Minute }), now)
	switch {
	case len(f.tokens.asked) > douyinTokenCalls:
		f.complain("%s: more than %d in five minutes", call.op, douyinTokenCalls)
		return nil, douyinFailure{10020, ""}
	case request.ClientKey != f.config.ClientKey:
		return nil, douyinFailure{10003, ""}
	case request.ClientSecret != f.secret:
		return nil, douyinFailure{10013, ""}
	}
	f.retireTokens(now.Add(douyinTokenGrace))
	token := douyinToken{text: "clt." + strings.ToLower(newSerial()), until: now.Add(f.config.TokenLife)}
	f.tokens.made = append(f.tokens.made, token)
	return map[string]any{"access_token": token.text, "expires_in": int64(f.config.TokenLife / time.Second)}, nil
}

// retireTokens lets the newest token live until then at most, the others no longer.
func (f *Douyin) retireTokens(until time.Time) {
	for i := range f.tokens.made {
		token := &f.tokens.made[i]
		if i < len(f.tokens.made)-1 {
			token.until = time.Time{}
		} else if until.Before(token.until) {
			token.until = until
		}
	}
}

// checkToken tells the tokens that never were from those that are over (DOC).
func (f *Douyin) checkToken(text string) error {
	for _, token := range f.tokens.made {
		if token.text != text || token.unknown {
			continue
		}
		if !f.now().Before(token.until) {
			return douyinFailure{2190008, ""}
		}
		return nil
	}
	return douyinFailure{2190002, ""}
}

// TokensIssued is how many access tokens were handed out.
func (f *Douyin) TokensIssued() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.tokens.made)
}

// ExpireTokens ends all access tokens: calls with them get 2190008.
func (f *Douyin) ExpireTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.tokens.made {
		f.tokens.made[i].until = time.Time{}
	}
}

// RevokeTokens forgets all access tokens: calls with them get 2190002.
func (f *Douyin) RevokeTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.tokens.made {
		f.tokens.made[i].unknown = true
	}
}
