package webhookserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/laidoulaile/channel-operator/webhookserver"
)

// counting is a listener that counts the connections it has accepted and that are not closed.
type counting struct {
	net.Listener
	open atomic.Int64
	// buffer is how much the system keeps of a reply that is not read; 0: what it likes.
	buffer int
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if c.buffer > 0 {
		_ = conn.(*net.TCPConn).SetWriteBuffer(c.buffer)
	}
	c.open.Add(1)
	return &counted1{Conn: conn, open: &c.open}, nil
}

type counted1 struct {
	net.Conn
	open   *atomic.Int64
	closed atomic.Bool
}

func (c *counted1) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

// serve serves on loopback until the test is over.
func serve(t *testing.T, options webhookserver.Options) *counting {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counting{Listener: listener, buffer: 4 << 10}
	options.Listener = c
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	over := make(chan error, 1)
	go func() { over <- webhookserver.New(options).Start(ctx) }()
	t.Cleanup(func() { stop(); _ = await(t, over) })
	return c
}

// hasty cuts off after less than a second.
func hasty(o webhookserver.Options) webhookserver.Options {
	return o.Hasty(300*time.Millisecond, 400*time.Millisecond, 500*time.Millisecond)
}

func (c *counting) url(path string) string { return "http://" + c.Addr().String() + path }

func (c *counting) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// eventually polls.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// succeeds waits until a push is served.
func (c *counting) succeeds(t *testing.T) {
	t.Helper()
	eventually(t, "a push is served", func() bool {
		status, body, err := send(t.Context(), c.url(byAccount+productTail), sample(t, "product-info.json"))
		return err == nil && status == http.StatusOK && body == "success"
	})
}

// head of a push.
func head(lines ...string) string {
	return "POST " + byAccount + productTail + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(lines, "", ""), "\r\n")
}

// trickle writes a piece each few milliseconds, until the connection is gone.
func trickle(conn net.Conn, piece string) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		if _, err := io.WriteString(conn, piece); err != nil {
			return
		}
	}
}

// whole reads until the connection ends, which must be soon, and gives the replies' statuses.
func whole(t *testing.T, conn net.Conn) (statuses []int) {
	t.Helper()
	start := time.Now()
	defer func() {
		if took := time.Since(start); took > 12*time.Second {
			t.Errorf("held for %s", took)
		}
	}()
	for from := bufio.NewReader(conn); ; {
		response, err := http.ReadResponse(from, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			statuses = append(statuses, response.StatusCode)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the connection is held")
		}
		if err != nil {
			return statuses
		}
	}
}

// Whoever is slow to send is cut off by the clock, however busy the line is, and the room that
// the push had is given back.
func TestTricklingPushes(t *testing.T) {
	for name, test := range map[string]struct {
		head, piece string
		in          bool // it is in hand while it trickles
	}{
		"a body":                     {head("Content-Length: 20000"), "x", true},
		"a chunked body without end": {head("Transfer-Encoding: chunked"), "1\r\nx\r\n", true},
		"a length that lies":         {head("Content-Length: 20000") + "{}", "", true},
		"a header":                   {"POST " + byAccount + productTail + " HTTP/1.1\r\nHost: x\r\n", "X-Y: z\r\n", false},
		"a request line":             {"POST /", "x", false},
		"nothing at all":             {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, hasty(with(account(), nil).options().Crowded(16)))
			conn := server.dial(t)
			if _, err := io.WriteString(conn, test.head); err != nil {
				t.Fatal(err)
			}
			if test.piece != "" {
				go trickle(conn, test.piece)
			}
			for _, status := range whole(t, conn) {
				if status < 400 || test.in && status != http.StatusServiceUnavailable {
					t.Errorf("answered %d", status)
				}
			}
			eventually(t, "the connection is closed", func() bool { return server.open.Load() == 0 })
			server.succeeds(t)
		})
	}
}

// While trickling bodies have all the room of their platform, others are told to try again at
// once; when they are cut off, all goes on.
func TestTricklersAreCutOff(t *testing.T) {
	server := serve(t, with(account(), nil).options().Crowded(2).Hasty(4*time.Second, 4*time.Second, 6*time.Second))
	conn := server.dial(t)
	if _, err := io.WriteString(conn, head("Content-Length: 20000")); err != nil {
		t.Fatal(err)
	}
	go trickle(conn, "x")
	eventually(t, "another is told to try again", func() bool {
		start := time.Now()
		status, _, err := send(t.Context(), server.url(byAccount+productTail), sample(t, "product-info.json"))
		return err == nil && status == http.StatusServiceUnavailable && time.Since(start) < time.Second
	})
	whole(t, conn)
	server.succeeds(t)
}

// A body that comes too slowly is cut off by its own clock, long before the request's; what it
// had taken is there again at once.
func TestSlowBodiesHaveLittleTime(t *testing.T) {
	for name, test := range map[string]struct{ head, piece string }{
		"chunked":    {head("Transfer-Encoding: chunked"), "1\r\nx\r\n"},
		"one length": {head("Content-Length: 200000"), "x"},
		"nothing":    {head("Content-Length: 200000"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, with(account(), nil).options().Crowded(2).Impatient(200*time.Millisecond))
			conn := server.dial(t)
			if _, err := io.WriteString(conn, test.head); err != nil {
				t.Fatal(err)
			}
			if test.piece != "" {
				go trickle(conn, test.piece)
			}
			if statuses := whole(t, conn); len(statuses) > 1 || len(statuses) == 1 && statuses[0] != http.StatusServiceUnavailable {
				t.Errorf("answered %v", statuses)
			}
			server.succeeds(t)
		})
	}
}

// Bodies that are more than they may be are refused as soon as that is known.
func TestEndlessBodies(t *testing.T) {
	for name, test := range map[string]struct{ head, piece string }{
		"chunked":    {head("Transfer-Encoding: chunked"), "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n"},
		"one length": {head("Content-Length: 99999999999"), strings.Repeat("x", 0x1000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, with(account(), nil).options())
			conn := server.dial(t)
			if _, err := io.WriteString(conn, test.head); err != nil {
				t.Fatal(err)
			}
			var sent atomic.Int64
			go func() {
				for {
					n, err := io.WriteString(conn, test.piece)
					if sent.Add(int64(n)); err != nil {
						return
					}
				}
			}()
			if statuses := whole(t, conn); len(statuses) > 1 || len(statuses) == 1 && statuses[0] != http.StatusRequestEntityTooLarge {
				t.Errorf("answered %v", statuses)
			}
			eventually(t, "the connection is closed", func() bool { return server.open.Load() == 0 })
			server.succeeds(t)
		})
	}
}

// A length that is less than the body: the rest is no push of its own.
func TestLengthThatIsTooShort(t *testing.T) {
	b := with(account(), nil)
	server := serve(t, hasty(b.options()))
	conn := server.dial(t)
	if _, err := io.WriteString(conn, head("Content-Length: 10")+sample(t, "product-info.json")); err != nil {
		t.Fatal(err)
	}
	for _, status := range whole(t, conn) {
		if status != http.StatusBadRequest {
			t.Errorf("answered %d", status)
		}
	}
	if len(b.recorded) > 0 {
		t.Error("something was recorded")
	}
}

// Headers that contradict each other are refused before anything is read.
func TestLengthsThatContradict(t *testing.T) {
	for _, lines := range [][]string{
		{"Content-Length: 5", "Content-Length: 6"}, {"Content-Length: -1"}, {"Content-Length: 5, 6"}, {"Content-Length: x"},
		{"Transfer-Encoding: gzip"},
	} {
		server := serve(t, with(account(), nil).options())
		conn := server.dial(t)
		if _, err := io.WriteString(conn, head(lines...)+"hello"); err != nil {
			t.Fatal(err)
		}
		if statuses := whole(t, conn); len(statuses) != 1 || statuses[0] < 400 {
			t.Errorf("%q: answered %v", lines, statuses)
		}
	}
}

// Requests that come before the reply to the last are answered one after the other.
func TestPipelinedPushes(t *testing.T) {
	b := with(account(), nil)
	server := serve(t, b.options())
	conn := server.dial(t)
	body := sample(t, "product-info.json")
	push := head(fmt.Sprint("Content-Length: ", len(body))) + body
	wrong := head("Content-Length: 1") + "x"
	last := head("Connection: close", fmt.Sprint("Content-Length: ", len(body))) + body
	if _, err := io.WriteString(conn, push+wrong+push+last); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(whole(t, conn)); got != "[200 400 200 200]" || len(b.recorded) != 3 {
		t.Errorf("answered %s, recorded %d", got, len(b.recorded))
	}
}

// A caller that never reads its replies is left when nothing more fits between it and us.
func TestRepliesThatAreNotRead(t *testing.T) {
	server := serve(t, hasty(with(account(), nil).options()))
	conn := server.dial(t)
	if err := conn.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	body := sample(t, "product-info.json")
	push := head(fmt.Sprint("Content-Length: ", len(body))) + body
	for { // until it is cut off: before the connection's own deadline, which is an error too
		if _, err := io.WriteString(conn, push); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("it is not cut off")
		} else if err != nil {
			break
		}
	}
	eventually(t, "the connection is closed", func() bool { return server.open.Load() == 0 })
	server.succeeds(t)
}

// Thousands of connections that do nothing do not keep a push from being served.
func TestIdleConnections(t *testing.T) {
	const idle = 5000
	server := serve(t, with(account(), nil).options().Hasty(time.Minute, time.Minute, time.Minute)) // none is closed before all are there
	for range idle {
		server.dial(t)
	}
	eventually(t, "all are accepted", func() bool { return server.open.Load() >= idle })
	start := time.Now()
	status, body, err := send(t.Context(), server.url(byAccount+productTail), sample(t, "product-info.json"))
	if err != nil || status != http.StatusOK || body != "success" {
		t.Errorf("answered %d %q, %v", status, body, err)
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
}
