package loopback

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestPortRange(t *testing.T) {
	cases := map[string]struct{ firstEphemeral, low, high int }{
		"Linux's default":          {32768, 20000, 32000},
		"ephemeral from 25000":     {25000, 20000, 25000},
		"ephemeral from 20500":     {20500, 1024, 20500},
		"nearly all are ephemeral": {1500, 20000, 32000},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			low, high := portRange(test.firstEphemeral)
			if low != test.low || high != test.high {
				t.Errorf("portRange(%d) = %d, %d, want %d, %d", test.firstEphemeral, low, high, test.low, test.high)
			}
		})
	}
}

func TestFirstEphemeralPort(t *testing.T) {
	file := filepath.Join(t.TempDir(), "range")
	if got := firstEphemeralPort(file); got != highestPort {
		t.Errorf("without the file: %d, want %d", got, highestPort)
	}
	if err := os.WriteFile(file, []byte("27000\t60999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := firstEphemeralPort(file); got != 27000 {
		t.Errorf("got %d, want 27000", got)
	}
}

func TestFreePorts(t *testing.T) {
	picked, err := FreePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	low, high := portRange(firstEphemeralPort(ephemeralRangeFile))
	seen := map[int]bool{}
	if len(picked) != 50 {
		t.Errorf("%d ports", len(picked))
	}
	for _, port := range picked {
		if port < low || port >= high || seen[port] {
			t.Errorf("%v: want ports that differ, between %d and %d", picked, low, high)
		}
		seen[port] = true
		listener, err := net.Listen("tcp4", Address(port))
		if err != nil {
			t.Errorf("port %d is not free: %v", port, err)
			continue
		}
		_ = listener.Close()
	}
}

func TestAnswers(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	if err := Answers(t.Context(), server.URL); err != nil {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if Answers(t.Context(), server.URL) == nil {
		t.Error("503 is no answer")
	}
	server.Close()
	if Answers(t.Context(), server.URL) == nil {
		t.Error("nobody answers")
	}
}
