package platform_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

// What can go wrong on the way out, and the test that shows what is made of it:
//
//	no such name, nobody listens            TestUnreachableIsTransientWithoutURL
//	a name that comes to lead inside        TestANameThatIsRebound…, TestDialRefusesAnInnerAddress
//	a connection that is never made         TestFaultsEndInTimeAndOpenTheBreaker
//	a TLS handshake that is never answered  TestFaultsEndInTimeAndOpenTheBreaker
//	TLS 1.1                                 TestRoundTripperWantsModernTLSAndNoProxy
//	a certificate of another name, time, CA TestOnlyAServerThatProvesItsNameIsAsked
//	no answer, a header or a body that
//	trickles, a header without end          TestFaultsEndInTimeAndOpenTheBreaker
//	what is no HTTP, cut header, body and
//	chunks, a length that lies              TestBrokenAnswersAreTransientAndNotQuoted
//	a reset in the midst of a body          TestFaultsEndInTimeAndOpenTheBreaker
//	a body without end                      TestAnswersAreBounded, TestAnswersAreBoundedHoweverTheyCome
//	a gzip bomb                             TestAnswersAreBoundedHoweverTheyCome
//	what is no gzip, another encoding       TestEncodings
//	a page of HTML                          the adapters' (platformtest: "html")
//	a redirect                              TestRedirectsAreNotFollowed, TestCredentialsDoNotFollowARedirect
//	HTTP/2: resets, GOAWAY, a cut           TestFaultsEndInTimeAndOpenTheBreaker

const (
	handshakeTimeout = 5 * time.Second
	// maxSends is how often a call goes out that the platform says it has not looked at; one
	// more may just be on its way.
	maxSends = 3
)

// fault is what a platform does with each connection.
type fault struct {
	// serve is the platform's end; nil never takes the connection.
	serve func(*peer)
	// secure speaks TLS, and HTTP/2 where the platform is so minded.
	secure, handshake bool
	reason            platform.Reason
	// ends is when the call is given up; 0: at once.
	ends time.Duration
	// asked is how often the platform sees the question at most; 0: once.
	asked int32
}

// peer is the platform's end of a connection.
type peer struct {
	net.Conn
	wrote, asked *atomic.Int64
}

func (p *peer) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	p.wrote.Add(int64(n))
	return n, err
}

// read reads the question, and then whatever comes: nobody is to wait for that.
func (p *peer) read() {
	r := bufio.NewReader(p.Conn)
	request, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, request.Body)
	p.asked.Add(1)
	go func() { _, _ = io.Copy(io.Discard, r) }()
}

// says answers with pieces, the last of them again and again.
func says(every time.Duration, pieces ...string) func(*peer) {
	return func(p *peer) {
		p.read()
		for i := 0; ; i++ {
			if _, err := io.WriteString(p, pieces[min(i, len(pieces)-1)]); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
}

// silent reads, and says nothing.
func silent(p *peer) { _, _ = io.Copy(io.Discard, p) }

// The kinds of HTTP/2's frames, and codes of errors in them.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoAway = 0, 1, 3, 4, 6, 7

	internalError, refusedStream = 2, 7
)

func (p *peer) frame(kind, flags byte, stream uint32, payload ...byte) {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = binary.BigEndian.AppendUint32(append(head, flags), stream)
	_, _ = p.Write(append(head, payload...))
}

func word(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// http2 speaks HTTP/2 as far as it takes, and answers each question so.
func http2(answer func(p *peer, stream uint32)) func(*peer) {
	type frame struct {
		kind, flags byte
		stream      uint32
	}
	return func(p *peer) {
		_, _ = io.ReadFull(p, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
		frames := make(chan frame, 100) // whoever is written to must be read from
		go func() {
			defer close(frames)
			for head := make([]byte, 9); ; {
				if _, err := io.ReadFull(p, head); err != nil {
					return
				}
				if _, err := io.CopyN(io.Discard, p, int64(binary.BigEndian.Uint32(head)>>8)); err != nil {
					return
				}
				frames <- frame{head[3], head[4], binary.BigEndian.Uint32(head[5:])}
			}
		}()
		p.frame(frameSettings, 0, 0)
		for f := range frames {
			switch {
			case f.kind == frameSettings && f.flags == 0:
				p.frame(frameSettings, 1, 0)
			case f.kind == frameHeaders:
				p.asked.Add(1)
				answer(p, f.stream)
			}
		}
	}
}

// begins an answer that is not ended.
func (p *peer) begins(stream uint32) {
	p.frame(frameHeaders, 4, stream, 0x88) // :status: 200
	p.frame(frameData, 0, stream, []byte(`{"code":"PLANTED"`)...)
}

const (
	ok      = "HTTP/1.1 200 OK\r\n"
	chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
)

var faults = map[string]fault{
	"no connection": {reason: platform.ReasonUnavailable, ends: callTimeout},
	"no handshake":  {serve: silent, secure: true, reason: platform.ReasonUnavailable, ends: handshakeTimeout},
	"no answer":     {serve: func(p *peer) { p.read() }, reason: platform.ReasonUnavailable, ends: callTimeout},
	"a header that trickles": {serve: says(time.Second, ok, "X-PLANTED: PLANTED\r\n"),
		reason: platform.ReasonUnavailable, ends: callTimeout},
	"a body that trickles": {serve: says(time.Second, ok+"Content-Length: 100000\r\n\r\n", "PLANTED"),
		reason: platform.ReasonUnavailable, ends: callTimeout},
	"chunks that trickle": {serve: says(time.Second, chunked, "7\r\nPLANTED\r\n"),
		reason: platform.ReasonUnavailable, ends: callTimeout},
	"a header without end": {serve: says(0, ok, "X-PLANTED: "+strings.Repeat("PLANTED", 100)+"\r\n"), reason: platform.ReasonUnavailable},
	"a line without end":   {serve: says(0, ok+"X-PLANTED: ", strings.Repeat("PLANTED", 100)), reason: platform.ReasonUnavailable},
	"hints without end":    {serve: says(0, "HTTP/1.1 103 PLANTED\r\nLink: PLANTED\r\n\r\n"), reason: platform.ReasonUnavailable},
	"a trailer without end": {serve: says(0, chunked+"7\r\nPLANTED\r\n0\r\n", "X-PLANTED: PLANTED\r\n"),
		reason: platform.ReasonUnavailable},
	"extensions without end": {serve: says(0, chunked, "7;x="+strings.Repeat("PLANTED", 100)),
		reason: platform.ReasonUnavailable},
	"a body without end":   {serve: says(0, ok+"\r\n", strings.Repeat("PLANTED", 1000)), reason: platform.ReasonBadAnswer},
	"chunks without end":   {serve: says(0, chunked, "1b58\r\n"+strings.Repeat("PLANTED", 1000)+"\r\n"), reason: platform.ReasonBadAnswer},
	"a body that is cut":   {serve: cut(ok + "Content-Length: 100\r\n\r\nPLANTED"), reason: platform.ReasonUnavailable},
	"chunks that are cut":  {serve: cut(chunked + "7\r\nPLANTED\r\n"), reason: platform.ReasonUnavailable},
	"a header that is cut": {serve: cut(ok + "X-PLANTED: PLAN"), reason: platform.ReasonUnavailable},
	"HTTP/2: a reset": {handshake: true, reason: platform.ReasonUnavailable, serve: http2(func(p *peer, stream uint32) {
		p.frame(frameReset, 0, stream, word(internalError)...)
	})},
	"HTTP/2: a reset in the midst": {handshake: true, reason: platform.ReasonUnavailable, serve: http2(func(p *peer, stream uint32) {
		p.begins(stream)
		p.frame(frameReset, 0, stream, word(internalError)...)
	})},
	"HTTP/2: a cut": {handshake: true, reason: platform.ReasonUnavailable, serve: http2(func(p *peer, stream uint32) {
		p.begins(stream)
		_ = p.Close()
	})},
	"HTTP/2: no end": {handshake: true, reason: platform.ReasonUnavailable, ends: callTimeout, serve: http2((*peer).begins)},
	"HTTP/2: going away, then a cut": {handshake: true, reason: platform.ReasonUnavailable, serve: http2(func(p *peer, stream uint32) {
		p.frame(frameGoAway, 0, 0, append(word(stream), word(0)...)...)
		_ = p.Close()
	})},
	// What the platform says it has not looked at may be sent again: it is no second question.
	"HTTP/2: going away unread": {handshake: true, reason: platform.ReasonUnavailable, ends: callTimeout, asked: maxSends + 1, serve: http2(func(p *peer, _ uint32) {
		p.frame(frameGoAway, 0, 0, append(word(0), word(0)...)...)
	})},
	"HTTP/2: refused unread": {handshake: true, reason: platform.ReasonUnavailable, ends: callTimeout, asked: maxSends + 1, serve: http2(func(p *peer, stream uint32) {
		p.frame(frameReset, 0, stream, word(refusedStream)...)
	})},
}

func cut(answer string) func(*peer) {
	return func(p *peer) {
		p.read()
		_, _ = io.WriteString(p, answer)
		_ = p.Close()
	}
}

// However a platform fails, the call ends in time, is Transient, has read no more than is
// bounded and shows nothing; after five of them the platform is left alone, and when it works
// again the account does.
func TestFaultsEndInTimeAndOpenTheBreaker(t *testing.T) {
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f.endure(t) })
		})
	}
}

func (f fault) endure(t *testing.T) {
	var wrote, asked atomic.Int64
	var well atomic.Bool
	base := platform.NewRoundTripper(true)
	defer base.CloseIdleConnections()
	certificate, pool := certified(t, nil)
	base.TLSClientConfig.RootCAs = pool
	base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if f.serve == nil && !well.Load() {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ours, theirs := net.Pipe()
		if f.handshake {
			theirs = tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}})
		}
		serve := f.serve
		if well.Load() {
			serve = f.recovered
		}
		go func() {
			defer func() { _ = theirs.Close() }()
			serve(&peer{theirs, &wrote, &asked})
			silent(&peer{theirs, &wrote, &asked})
		}()
		return ours, nil
	}
	limits := generous
	limits.Concurrency = 1 // a turn that is not given back is missed
	transport := platform.NewTransport(t.Name(), limits, base)
	call := question()
	call.Body = []byte("PLANTED")
	call.Header = http.Header{"Authorization": {"PLANTED"}}
	if !f.secure && !f.handshake {
		call.URL = strings.Replace(call.URL, "https", "http", 1)
	}
	for range breakAfter {
		start, before := time.Now(), asked.Load()
		wrote.Store(0)
		_, err := transport.Do(t.Context(), call)
		want(t, err, platform.Transient, f.reason)
		clean(t, err)
		if took := time.Since(start); took > max(f.ends, 0) {
			t.Errorf("ended after %s, want %s at most", took, f.ends)
		}
		if n := asked.Load() - before; n > int64(max(f.asked, 1)) {
			t.Errorf("asked %d times", n)
		}
		if n := wrote.Load(); n > maxAnswer+1<<20 || f.reason == platform.ReasonUnavailable && n > 1<<20 {
			t.Errorf("%d bytes were taken", n)
		}
	}
	before := asked.Load()
	_, err := transport.Do(t.Context(), call)
	if e := want(t, err, platform.Transient, platform.ReasonUnavailable); e.RetryAfter != breakFor || asked.Load() != before {
		t.Errorf("asked after %d failures: %v", breakAfter, err)
	}
	time.Sleep(breakFor + time.Millisecond)
	base.CloseIdleConnections()
	well.Store(true)
	if !f.secure { // there TLS is what fails
		if got, err := transport.Do(t.Context(), call); err != nil || string(got) != "{}" {
			t.Errorf("when it works again: %q, %v", got, err)
		}
	}
}

// recovered answers as it should.
func (f fault) recovered(p *peer) {
	if f.handshake {
		http2(func(p *peer, stream uint32) {
			p.frame(frameHeaders, 4, stream, 0x88)
			p.frame(frameData, 1, stream, []byte("{}")...)
		})(p)
		return
	}
	p.read()
	_, _ = io.WriteString(p, ok+"Content-Length: 2\r\n\r\n{}")
}

// certified makes the certificate of a platform, changed, and who vouches for it.
func certified(t *testing.T, change func(*x509.Certificate)) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a platform"}, DNSNames: []string{"api.example.com"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// secure serves over TLS, with HTTP/2 if so.
func secure(t *testing.T, certificate tls.Certificate, two bool, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS, server.EnableHTTP2, server.Config.ErrorLog = &tls.Config{Certificates: []tls.Certificate{certificate}}, two, discard
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// A server that cannot prove that it is the platform hears nothing: no header, no body.
func TestOnlyAServerThatProvesItsNameIsAsked(t *testing.T) {
	elsewhere := func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"elsewhere.example.com"}, []net.IP{net.IPv4(127, 0, 0, 2)}
	}
	over := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	early := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }
	for name, test := range map[string]struct {
		change  func(*x509.Certificate)
		unknown bool
		asked   int32
	}{
		"right": {asked: 1}, "another's": {change: elsewhere}, "over": {change: over}, "not yet": {change: early}, "its own word": {unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			certificate, pool := certified(t, test.change)
			call := question()
			call.URL = secure(t, certificate, false, func(http.ResponseWriter, *http.Request) { asked.Add(1) }) + "/v1?sign=PLANTED"
			base := platform.NewRoundTripper(true)
			defer base.CloseIdleConnections()
			if base.TLSClientConfig.RootCAs = pool; test.unknown {
				base.TLSClientConfig.RootCAs = x509.NewCertPool()
			}
			_, err := platform.NewTransport(t.Name(), generous, base).Do(t.Context(), call)
			if asked.Load() != test.asked {
				t.Errorf("asked %d times", asked.Load())
			}
			if test.asked > 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want(t, err, platform.Transient, platform.ReasonUnavailable)
			clean(t, err)
			if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
				t.Errorf("%v, want it to be the certificate", err)
			}
		})
	}
}

// bomb is some MiB in a few KiB.
func bomb(t *testing.T) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// An answer without end, packed or not, over either version of HTTP, takes no more memory than
// one that is just too large.
func TestAnswersAreBoundedHoweverTheyCome(t *testing.T) {
	packed := bomb(t)
	certificate, pool := certified(t, nil)
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		for kind, piece := range map[string][]byte{"plain": make([]byte, 32<<10), "gzip": packed} {
			t.Run(name+" "+kind, func(t *testing.T) {
				var protocol atomic.Value
				url := secure(t, certificate, two, func(w http.ResponseWriter, r *http.Request) {
					protocol.Store(r.Proto)
					if kind == "gzip" {
						w.Header().Set("Content-Encoding", "gzip")
					}
					for {
						if _, err := w.Write(piece); err != nil {
							return
						}
					}
				})
				base := platform.NewRoundTripper(true)
				defer base.CloseIdleConnections()
				base.TLSClientConfig.RootCAs = pool
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := platform.NewTransport(t.Name(), generous, base).Do(t.Context(), platform.Call{Op: "op", Method: http.MethodGet, URL: url})
				runtime.ReadMemStats(&after)
				want(t, err, platform.Transient, platform.ReasonBadAnswer)
				if got := after.TotalAlloc - before.TotalAlloc; got > 16*maxAnswer {
					t.Errorf("%d MiB were taken", got>>20)
				}
				if is := protocol.Load() == "HTTP/2.0"; is != two {
					t.Errorf("spoke %v", protocol.Load())
				}
			})
		}
	}
}

func TestEncodings(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.WriteString(w, `{"code":"PLANTED"}`)
	_ = w.Close()
	for name, test := range map[string]struct {
		encoding, body, got string
		fails               bool
	}{
		"packed":           {"gzip", packed.String(), `{"code":"PLANTED"}`, false},
		"packed, cut":      {"gzip", packed.String()[:packed.Len()-9], "", true},
		"packed, changed":  {"gzip", packed.String()[:packed.Len()-8] + "PLANTED!", "", true},
		"not packed":       {"gzip", "PLANTED and so on and so on", "", true},
		"another encoding": {"br", "PLANTED", "PLANTED", false}, // the adapter finds that it is no JSON
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", test.encoding)
				_, _ = io.WriteString(w, test.body)
			}))
			t.Cleanup(server.Close)
			got, err := platform.NewTransport(t.Name(), generous, platform.NewRoundTripper(true)).
				Do(t.Context(), platform.Call{Op: "op", Method: http.MethodGet, URL: server.URL})
			if string(got) != test.got || (err != nil) != test.fails {
				t.Errorf("%q, %v", got, err)
			}
			if test.fails {
				want(t, err, platform.Transient, platform.ReasonUnavailable)
				clean(t, err)
			}
		})
	}
}

// Whoever a redirect leads to sees neither the header that signs nor the body.
func TestCredentialsDoNotFollowARedirect(t *testing.T) {
	var seen atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	t.Cleanup(elsewhere.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), http.StatusPermanentRedirect)
	}))
	t.Cleanup(server.Close)
	_, err := platform.NewTransport(t.Name(), generous, platform.NewRoundTripper(true)).Do(t.Context(), platform.Call{
		Op: "op", Method: http.MethodPost, URL: server.URL, Header: http.Header{"Authorization": {"PLANTED"}}, Body: []byte("PLANTED")})
	want(t, err, platform.Transient, platform.ReasonBadAnswer)
	clean(t, err)
	if seen.Load() != 0 {
		t.Error("it went elsewhere")
	}
}

// resolver answers each question for an address with the next of these, then with the last.
func resolver(addresses ...string) (*net.Resolver, *atomic.Int32) {
	var asked atomic.Int32
	answer := func(question []byte) []byte {
		end := 12 + bytes.IndexByte(question[12:], 0) + 5
		reply := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[12:end]...)
		if question[end-3] != 1 { // only IPv4
			return reply
		}
		ip := net.ParseIP(addresses[min(int(asked.Add(1)), len(addresses))-1]).To4()
		reply[7] = 1
		return append(append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip...)
	}
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer func() { _ = theirs.Close() }()
			size := make([]byte, 2)
			if _, err := io.ReadFull(theirs, size); err != nil {
				return
			}
			question := make([]byte, binary.BigEndian.Uint16(size))
			if _, err := io.ReadFull(theirs, question); err != nil {
				return
			}
			reply := answer(question)
			_, _ = theirs.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
		}()
		return ours, nil
	}}, &asked
}

// A name that leads outside when it is looked at, and inside when it is dialled.
func TestANameThatIsReboundIsRefusedWhenItIsDialled(t *testing.T) {
	address, accepted := listener(t, "127.0.0.1:0")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	dialer := platform.NewDialer(false)
	names, asked := resolver("8.8.8.8", "127.0.0.1")
	dialer.Resolver = names
	const name = "rebound.example.com."
	if found, err := names.LookupHost(t.Context(), name); err != nil || len(found) != 1 || found[0] != "8.8.8.8" {
		t.Fatalf("at first it is %v, %v", found, err)
	}
	base := platform.NewRoundTripper(false)
	base.DialContext = dialer.DialContext
	call := question()
	call.URL = "https://" + name + ":" + port + "/v1?sign=PLANTED"
	_, err = platform.NewTransport(t.Name(), generous, base).Do(t.Context(), call)
	if want(t, err, platform.Transient, platform.ReasonUnavailable); !errors.Is(err, platform.ErrEndpoint) {
		t.Errorf("%v, want ErrEndpoint", err)
	}
	if asked.Load() != 2 || accepted.Load() != 0 {
		t.Errorf("looked up %d times, and %d connections reached the listener", asked.Load(), accepted.Load())
	}
	open := platform.NewDialer(true)
	open.Resolver = names
	conn, err := open.DialContext(t.Context(), "tcp", name+":"+port)
	if err != nil {
		t.Fatalf("the name does not lead inside, so the test shows nothing: %v", err)
	}
	_ = conn.Close()
}
