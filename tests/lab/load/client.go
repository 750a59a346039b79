package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// The client is its own because http.Transport repeats a request, without a word, when a kept connection turns out to
// be closed. That is the very failure to be counted here.

type outcome uint8

const (
	ok outcome = iota
	refused
	reset
	eof
	timeout
	status5xx
	status4xx
	streamCut
	other
	outcomeCount
)

var outcomeNames = [outcomeCount]string{
	"ok", "refused", "reset", "eof", "timeout", "status_5xx", "status_4xx", "stream_cut", "other",
}

// result is what became of one request.
type result struct {
	outcome  outcome
	version  string
	answered time.Time // the whole answer, or the first event of a stream
	ended    time.Time // also the end of a stream
	err      error
}

type target struct {
	name      string
	url       string
	address   string
	requests  [kindCount][]byte
	timeout   time.Duration
	slowFor   time.Duration
	streamFor time.Duration
	kept      pool
}

func newTarget(name string, u *url.URL, address string, opts options) *target {
	t := &target{
		name: name, url: u.String(), address: address, timeout: opts.timeout, slowFor: opts.slowFor,
		streamFor: opts.streamFor, kept: pool{maxIdle: opts.maxIdle},
	}
	const body = `{"item": "a box of screws", "count": 3}`
	post := fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	head := func(method, path, more string) []byte {
		return []byte(method + " " + path + " HTTP/1.1\r\nHost: " + u.Host + "\r\nUser-Agent: slipway-load\r\n" + more)
	}
	path := u.RequestURI()
	t.requests = [kindCount][]byte{
		newGet:   head("GET", path, "Connection: close\r\n\r\n"),
		newPost:  head("POST", path, "Connection: close\r\n"+post),
		keepGet:  head("GET", path, "\r\n"),
		keepPost: head("POST", path, post),
		slow:     head("GET", fmt.Sprintf("/slow?ms=%d", opts.slowFor.Milliseconds()), "Connection: close\r\n\r\n"),
		stream:   head("GET", "/stream", "Connection: close\r\n\r\n"),
	}
	return t
}

// send makes one request, once.
func (t *target) send(k kind) result {
	keep := k == keepGet || k == keepPost
	var c *conn
	if keep {
		c = t.kept.take()
	}
	if c == nil {
		raw, err := net.DialTimeout("tcp", t.address, t.timeout)
		if err != nil {
			return failure(err)
		}
		c = &conn{Conn: raw, reader: bufio.NewReader(raw)}
	}
	res, reusable := t.exchange(c, k)
	if res.ended.IsZero() {
		res.ended = time.Now()
	}
	if res.answered.IsZero() {
		res.answered = res.ended
	}
	if keep && reusable {
		t.kept.give(c)
	} else {
		c.hangUp(res.outcome == ok && k != stream)
	}
	return res
}

func (t *target) exchange(c *conn, k kind) (res result, reusable bool) {
	limit := t.timeout
	if k == slow {
		limit += t.slowFor
	}
	_ = c.SetDeadline(time.Now().Add(limit))
	if _, err := c.Write(t.requests[k]); err != nil {
		return failure(err), false
	}
	// The method only tells ReadResponse whether a body follows; GET stands for both.
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return failure(err), false
	}
	res.version = response.Header.Get("X-Version")
	res.outcome = byStatus(response.StatusCode)
	if k == stream && res.outcome == ok {
		t.follow(c, response.Body, &res)
		return res, false
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		failed := failure(err)
		failed.version = res.version
		return failed, false
	}
	if res.outcome != ok {
		res.err = errors.New(response.Status)
	}
	return res, !response.Close && c.reader.Buffered() == 0
}

// follow reads a stream for as long as the client wants it. A stream that says goodbye first is fine, one that just
// ends is cut.
func (t *target) follow(c *conn, body io.Reader, res *result) {
	lines := bufio.NewScanner(body)
	var leave time.Time
	closing := false
	for {
		deadline := time.Now().Add(t.timeout)
		if !leave.IsZero() && leave.Before(deadline) {
			deadline = leave
		}
		_ = c.SetReadDeadline(deadline)
		if !lines.Scan() {
			break
		}
		if leave.IsZero() {
			res.answered = time.Now()
			leave = res.answered.Add(t.streamFor)
		}
		closing = closing || lines.Text() == "event: close"
	}
	switch err := lines.Err(); {
	case closing && err == nil:
	case isTimeout(err) && !leave.IsZero() && !time.Now().Before(leave):
	case isTimeout(err):
		res.outcome, res.err = timeout, err
	default:
		res.outcome, res.err = streamCut, errors.Join(errors.New("no closing event"), err)
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

func byStatus(code int) outcome {
	switch {
	case code >= 200 && code < 300:
		return ok
	case code >= 500:
		return status5xx
	case code >= 400:
		return status4xx
	}
	return other
}

func failure(err error) result {
	res := result{outcome: other, err: err}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		res.outcome = refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		res.outcome = reset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		res.outcome = eof
	case isTimeout(err):
		res.outcome = timeout
	}
	now := time.Now()
	res.answered, res.ended = now, now
	return res
}

type conn struct {
	net.Conn
	reader *bufio.Reader
	since  time.Time
}

// hangUp lets the server close first where it is about to: the side that closes first keeps the port in TIME_WAIT, and
// at a high rate the client would run out of them.
func (c *conn) hangUp(serverCloses bool) {
	if serverCloses {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = c.reader.ReadByte()
	}
	c.Close()
}

// pool keeps connections for reuse, the most recently used on top.
type pool struct {
	mu      sync.Mutex
	maxIdle time.Duration
	free    []*conn
}

func (p *pool) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		return nil
	}
	last := len(p.free) - 1
	if p.maxIdle > 0 && time.Since(p.free[last].since) > p.maxIdle {
		for _, c := range p.free { // those below idled longer still
			c.Close()
		}
		p.free = p.free[:0]
		return nil
	}
	c := p.free[last]
	p.free = p.free[:last]
	return c
}

func (p *pool) give(c *conn) {
	c.since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
}
