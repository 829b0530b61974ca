package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// start runs the binary's run and gives its base URL; it stops with the test's
// context, and is waited for.
func start(t *testing.T, args ...string) string {
	t.Helper()
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(t.Context(), args, write); _ = write.Close() }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + strings.TrimSpace(line)
}

func get(t *testing.T, method, url, body string) string {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	keyFile, addressFile := filepath.Join(dir, "key"), filepath.Join(dir, "address")
	var pushed string
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pushed = r.URL.String()
		_, _ = io.WriteString(w, "success")
	}))
	defer receiver.Close()
	base := start(t, "--listen", "127.0.0.1:0", "--push-base", receiver.URL, "--push-token", "tok", "--fliggy-account", "30001",
		"--fliggy-private-key-out", keyFile, "--address-file", addressFile, "--seed-catalogue", "20")

	address, err := os.ReadFile(addressFile)
	if err != nil || "http://"+strings.TrimSpace(string(address)) != base {
		t.Errorf("address file %q, %v; serving on %s", address, err, base)
	}
	if info, err := os.Stat(keyFile); err != nil || info.Mode().Perm() != 0o600 || info.Size() < 1000 {
		t.Errorf("key file: %v, %v", info, err)
	}
	var products []struct{ ID, Title string }
	if err := json.Unmarshal([]byte(get(t, "GET", base+"/admin/fliggy/products", "")), &products); err != nil || len(products) != 20 || products[0].ID != "88" {
		t.Errorf("%v, %v", products, err)
	}
	if answer := get(t, "POST", base+"/api/v1/hotelticket/searchOrder?format=json", "{}"); !strings.Contains(answer, `"code":"5003"`) {
		t.Error(answer)
	}
	answer := get(t, "POST", base+"/admin/fliggy/products/88/price", `{"price":"360.00","push":true}`)
	if !strings.Contains(answer, `"accepted":true`) || !strings.Contains(answer, `"distributorId":30001`) || pushed != "/api/webhooks/fliggy/product-change?token=tok" {
		t.Errorf("%s, pushed to %s", answer, pushed)
	}
	if answer := get(t, "POST", base+"/admin/fliggy/aim", `{"base":"http://192.0.2.1"}`); !strings.Contains(answer, "not a loopback") {
		t.Error(answer)
	}
}

func TestDouyin(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	type push struct{ url, sign, body string }
	pushes := make(chan push, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		pushes <- push{r.URL.String(), r.Header.Get("X-Douyin-Signature") + r.Header.Get("X-Life-Sign"), string(body)}
		_, _ = io.WriteString(w, `{"data":{"error_code":0,"description":"success","result":1,"codes":["A1"]}}`)
	}))
	defer receiver.Close()
	base := start(t, "--push-base", receiver.URL, "--push-token", "tok", "--douyin-client-key", "awtest", "--douyin-account", "77",
		"--douyin-client-secret-out", secretFile, "--douyin-retry-scale", "0.001")
	secret, err := os.ReadFile(secretFile)
	if info, statErr := os.Stat(secretFile); err != nil || statErr != nil || info.Mode().Perm() != 0o600 || len(secret) < 20 {
		t.Errorf("secret file: %v, %v, %v", info, err, statErr)
	}
	ask := fmt.Sprintf(`{"client_key":"awtest","client_secret":%q,"grant_type":"client_credential"}`, strings.TrimSpace(string(secret)))
	if answer := get(t, "POST", base+"/oauth/client_token/", ask); !strings.Contains(answer, `"access_token":"clt.`) {
		t.Error(answer)
	}
	if answer := get(t, "GET", base+"/goodlife/v1/goods/product/online/query/", ""); !strings.Contains(answer, "2190002") {
		t.Error(answer)
	}
	if answer := get(t, "POST", base+"/admin/douyin/products/1805831187321867/offline", `{"push":true}`); !strings.Contains(answer, `"accepted":true`) {
		t.Error(answer)
	}
	if p := <-pushes; p.url != "/api/webhooks/douyin/events?token=tok" || p.sign == "" {
		t.Errorf("%+v", p)
	}
	if answer := get(t, "POST", base+"/admin/douyin/orders/1065946966824669548/issue", ""); !strings.Contains(answer, `"accepted":true`) {
		t.Error(answer)
	}
	if p := <-pushes; !strings.HasPrefix(p.url, "/api/webhooks/douyin/spi/issue_codes?") || !strings.Contains(p.url, "token=tok") || p.sign == "" {
		t.Errorf("%+v", p)
	}
	// What follows from a decision is told without being asked for.
	if answer := get(t, "POST", base+"/admin/douyin/orders/1065946966824669548/refund", ""); !strings.Contains(answer, `"approved"`) {
		t.Error(answer)
	}
	for _, want := range []string{"notice_list", "refund_success"} {
		if p := <-pushes; !strings.Contains(p.body, want) {
			t.Errorf("%+v, want %s", p, want)
		}
	}
	if answer := get(t, "POST", base+"/admin/douyin/aim", `{"base":"http://192.0.2.1"}`); !strings.Contains(answer, "not a loopback") {
		t.Error(answer)
	}
}

func TestSCTT(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	type push struct{ url, body string }
	pushes := make(chan push, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		pushes <- push{r.URL.String(), string(body)}
		_, _ = io.WriteString(w, `{"code":0,"msg":"ok","data":null}`)
	}))
	defer receiver.Close()
	base := start(t, "--push-base", receiver.URL, "--push-token", "tok", "--sctt-account", "77", "--sctt-secret-out", secretFile, "--sctt-zone", "+00:00",
		"--sctt-channel-path", "/api/channels/travel/seven", "--sctt-sign-algorithm", "SHA256", "--sctt-sign-encoding", "LowerHex",
		"--sctt-sign-message", "{merchant_id}&{request_time}&{secret}")
	secret, err := os.ReadFile(secretFile)
	if info, statErr := os.Stat(secretFile); err != nil || statErr != nil || info.Mode().Perm() != 0o600 || len(secret) < 20 {
		t.Errorf("secret file: %v, %v, %v", info, err, statErr)
	}
	now := time.Now().UTC().Format(time.DateTime)
	sign := sha256.Sum256([]byte("77&" + now + "&" + strings.TrimSpace(string(secret))))
	ask := fmt.Sprintf(`{"merchant_id":77,"request_time":%q,"sign":"%x","language":"zh-cn","key":"","cid":0,"category":[],"pageno":3,"pagesize":10}`, now, sign)
	if answer := get(t, "POST", base+"/v1/productlist", ask); !strings.Contains(answer, `"code":0`) || !strings.Contains(answer, `"total":25`) {
		t.Error(answer)
	}
	if answer := get(t, "POST", base+"/admin/sctt/orders/700001/voucher", `{"status":2,"push":true}`); !strings.Contains(answer, `"accepted":true`) {
		t.Error(answer)
	}
	if p := <-pushes; p.url != "/api/webhooks/sctt/order-voucher?token=tok" || !strings.HasPrefix(p.body, `{"merchant_id":77,`) {
		t.Errorf("%+v", p)
	}
	if answer := get(t, "POST", base+"/admin/sctt/sample", ""); !strings.Contains(answer, `"accepted":true`) {
		t.Error(answer)
	}
	if p := <-pushes; p.url != "/api/channels/travel/seven/order-voucher?token=tok" || !strings.Contains(p.body, "//2,3,4") {
		t.Errorf("%+v", p)
	}
	if answer := get(t, "POST", base+"/admin/sctt/aim", `{"base":"http://192.0.2.1"}`); !strings.Contains(answer, "not a loopback") {
		t.Error(answer)
	}
}

func TestRefusedFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--listen", "0.0.0.0:0"}, {"--listen", ":8080"}, {"--listen", "10.0.0.1:80"}, {"--listen", "127.0.0.1"},
		{"--listen", "example.com:80"}, {"--push-base", "http://10.0.0.1"}, {"--push-base", "https://127.0.0.1"},
		{"--push-base", "http://127.0.0.1@192.0.2.1"}, {"--push-base", "http://127.0.0.1.example.com"}, {"--push-base", ""},
		{"--fliggy-account", "x"}, {"extra"}, {"--fliggy-private-key-out", "/no/such/folder/key"},
		{"--douyin-client-secret-out", "/no/such/folder/key"}, {"--douyin-retry-scale", "-1"},
		{"--sctt-account", "x"}, {"--sctt-secret-out", "/no/such/folder/key"}, {"--sctt-zone", "China"}, {"--sctt-channel-path", "sctt"},
		{"--sctt-sign-algorithm", "SHA1"}, {"--sctt-sign-encoding", "hex"}, {"--sctt-sign-message", "{merchant_id}"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := run(ctx, args, io.Discard); err == nil {
			t.Errorf("%q: accepted", args)
		}
		cancel()
	}
}

func TestLoopback(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "localhost:80", "[::1]:80", "127.8.8.8:1"} {
		if err := loopbackAddress(address); err != nil {
			t.Error(err)
		}
	}
	if err := loopbackURL("http://localhost:8080/base"); err != nil {
		t.Error(err)
	}
}

func TestDemoCatalogue(t *testing.T) {
	seen := map[string]bool{}
	off := 0
	for i := range 200 {
		p := demoProduct(i, time.Now())
		if seen[p.ID] || p.Days == 0 {
			t.Errorf("product %d: %+v", i, p)
		}
		seen[p.ID] = true
		if p.OffShelf {
			off++
		}
	}
	if first := fmt.Sprint(demoProduct(0, time.Now()).ID); first != "88" || off != 1 {
		t.Errorf("first %s, %d off the shelf", first, off)
	}
}
