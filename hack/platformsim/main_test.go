package main

import (
	"bufio"
	"context"
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

func TestRefusedFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--listen", "0.0.0.0:0"}, {"--listen", ":8080"}, {"--listen", "10.0.0.1:80"}, {"--listen", "127.0.0.1"},
		{"--listen", "example.com:80"}, {"--push-base", "http://10.0.0.1"}, {"--push-base", "https://127.0.0.1"},
		{"--push-base", "http://127.0.0.1@192.0.2.1"}, {"--push-base", "http://127.0.0.1.example.com"}, {"--push-base", ""},
		{"--fliggy-account", "x"}, {"extra"}, {"--fliggy-private-key-out", "/no/such/folder/key"},
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
