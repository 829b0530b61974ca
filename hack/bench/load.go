package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// replyTimeout is Fliggy's own.
const replyTimeout = 9 * time.Second

// sender sends pushes over so many connections, which it keeps. It is as lean as it can be: on
// this machine its work is taken from the manager's, and a platform's is not.
type sender struct {
	address, base string
	connections   int
	free          chan *connection
}

// connection is one that is kept.
type connection struct {
	net.Conn
	in  *bufio.Reader
	out []byte
}

func newSender(address string, connections int) *sender {
	return &sender{address: address, base: "/api/webhooks/fliggy/", connections: connections, free: make(chan *connection, connections)}
}

// close ends the connections that are free.
func (s *sender) close() {
	for {
		select {
		case c := <-s.free:
			_ = c.Close()
		default:
			return
		}
	}
}

// connection that is free, or a new one.
func (s *sender) connection(ctx context.Context) (*connection, error) {
	select {
	case c := <-s.free:
		return c, nil
	default:
	}
	dialled, err := (&net.Dialer{Timeout: replyTimeout}).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: dialled, in: bufio.NewReaderSize(dialled, 1<<10)}, nil
}

// keep makes a connection free for the next.
func (s *sender) keep(c *connection) {
	select {
	case s.free <- c:
	default:
		_ = c.Close()
	}
}

// verdict is what a push heard.
type verdict int

const (
	acknowledged verdict = iota
	tryAgain
	failed // no reply, or one that a good push must not get
)

// send sends a push once. Only the very text "success" is an acknowledgement.
func (s *sender) send(ctx context.Context, p push) (verdict, error) {
	c, err := s.connection(ctx)
	if err != nil {
		return failed, err
	}
	status, text, last, err := c.post(s.base+p.path+"?token="+pushToken, p.body)
	if err != nil || last {
		_ = c.Close()
	} else {
		s.keep(c)
	}
	switch {
	case err != nil:
		return failed, err
	case status == http.StatusOK && text == "success":
		return acknowledged, nil
	case status == http.StatusServiceUnavailable && text != "success" && text != "error":
		return tryAgain, nil
	}
	return failed, fmt.Errorf("the reply was %d %q", status, text)
}

// post sends a body and reads the reply; last: the connection takes no more.
func (c *connection) post(path string, body []byte) (status int, text string, last bool, err error) {
	c.out = fmt.Appendf(c.out[:0], "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, len(body))
	c.out = append(c.out, body...)
	if err = c.SetDeadline(time.Now().Add(replyTimeout)); err != nil {
		return 0, "", true, err
	}
	if _, err = c.Write(c.out); err != nil {
		return 0, "", true, err
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, "", true, err
	}
	read, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	return response.StatusCode, string(read), response.Close, errors.Join(err, response.Body.Close())
}

// tally is what became of the pushes of one load.
type tally struct {
	sent, acknowledged, tryAgain, failed int
	// offered were due, in an open load; of those, unsent found no connection.
	offered, unsent int
	problem         error // the first of failed
	replies         []time.Duration
	moments         []Moment // acknowledged, tryAgain and failed second by second
	elapsed         time.Duration
}

func (t *tally) perSecond() float64 { return per(float64(t.acknowledged), t.elapsed.Seconds()) }

// counter gathers a tally from many workers.
type counter struct {
	start time.Time
	mu    sync.Mutex
	tally tally
}

func (c *counter) note(what verdict, err error, reply time.Duration) {
	second := int(time.Since(c.start) / time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.tally.moments) <= second {
		c.tally.moments = append(c.tally.moments, Moment{Second: len(c.tally.moments), Records: -1})
	}
	moment := &c.tally.moments[second]
	c.tally.sent++
	switch what {
	case acknowledged:
		c.tally.acknowledged++
		moment.Acknowledged++
	case tryAgain:
		c.tally.tryAgain++
		moment.TryAgain++
	case failed:
		c.tally.failed++
		moment.Failed++
		if c.tally.problem == nil {
			c.tally.problem = err
		}
		return // no reply, no reply time
	}
	c.tally.replies = append(c.tally.replies, reply)
}

// closed sends one push after the other over each connection, for a time, and at most so
// many pushes. What is under way at the end is waited for and counted.
func (s *sender) closed(ctx context.Context, duration time.Duration, most int, next source, b *book) tally {
	c := &counter{start: time.Now()}
	var taken atomic.Int64
	var working sync.WaitGroup
	for range s.connections {
		working.Go(func() {
			for ctx.Err() == nil && time.Since(c.start) < duration {
				n := int(taken.Add(1)) - 1
				if n >= most {
					return
				}
				s.deliver(ctx, next(n), time.Now(), b, c)
			}
		})
	}
	working.Wait()
	c.tally.elapsed = time.Since(c.start)
	c.tally.offered = c.tally.sent
	return c.tally
}

// deliver sends a push and counts it; its reply time counts from a moment.
func (s *sender) deliver(ctx context.Context, p push, from time.Time, b *book, c *counter) {
	what, err := s.send(ctx, p)
	if what == acknowledged {
		b.note(p)
	}
	c.note(what, err, time.Since(from))
}

// openLoad sends so many pushes a second, whatever the replies.
type openLoad struct {
	perSecond float64
	duration  time.Duration
	next      source
	// sent, if it is not nil, is told of each push and of when it was due.
	sent func(push, time.Time)
	// fromSending: reply times count from when a push was sent. Else they count from when it
	// was due, so that the wait for a connection is part of them.
	fromSending bool
}

// open makes an open load. What was due and found no free connection by the end is not sent.
func (s *sender) open(ctx context.Context, o openLoad, b *book) tally {
	c := &counter{start: time.Now()}
	pace := &pace{start: c.start, perSecond: o.perSecond, end: c.start.Add(o.duration)}
	var working sync.WaitGroup
	for range s.connections {
		working.Go(func() {
			for {
				n, due, ok := pace.take(ctx)
				if !ok {
					return
				}
				p := o.next(n)
				if o.sent != nil {
					o.sent(p, due)
				}
				if o.fromSending {
					due = time.Now()
				}
				s.deliver(ctx, p, due, b, c)
			}
		})
	}
	working.Wait()
	c.tally.elapsed = time.Since(c.start)
	c.tally.offered = pace.due()
	c.tally.unsent = max(0, c.tally.offered-c.tally.sent)
	return c.tally
}

// pace says when the pushes of an open load are due: evenly, from the start to the end.
type pace struct {
	start, end time.Time
	perSecond  float64
	taken      atomic.Int64
}

// due is how many there are in all.
func (p *pace) due() int { return int(p.end.Sub(p.start).Seconds() * p.perSecond) }

// at is when the nth is due, from 0.
func (p *pace) at(n int) time.Time {
	return p.start.Add(time.Duration(float64(n) / p.perSecond * float64(time.Second)))
}

// take waits for the next to be due and gives it. There is none once the end has come.
func (p *pace) take(ctx context.Context) (n int, due time.Time, ok bool) {
	n = int(p.taken.Add(1)) - 1
	due = p.at(n)
	if n >= p.due() {
		return n, due, false
	}
	if wait := time.Until(due); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return n, due, ctx.Err() == nil && !time.Now().After(p.end)
}
