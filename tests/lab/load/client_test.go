package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// rawServer answers connections the way the test wants.
func rawServer(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/"
}

func readRequest(conn net.Conn) bool {
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, request.Body)
	return err == nil
}

func say(conn net.Conn, response string) { _, _ = io.WriteString(conn, response) }

func serveHello(conn net.Conn) {
	for readRequest(conn) {
		say(conn, hello)
	}
}

const hello = "HTTP/1.1 200 OK\r\nX-Version: 1.0.0\r\nContent-Length: 2\r\n\r\nhi"

// load runs the client with these arguments and returns its report.
func load(t *testing.T, args ...string) report {
	t.Helper()
	opts, err := parse(append([]string{"-interval", "0"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	rep := newReport(opts, run(context.Background(), opts))
	rep.print(t.Output())
	if rep.Total.Sent != rep.Total.OK+rep.Total.Failed {
		t.Errorf("%d sent, but %d ok and %d failed", rep.Total.Sent, rep.Total.OK, rep.Total.Failed)
	}
	return rep
}

// The reason for a client of our own: http.Transport would show no failure here.
func TestAKeptConnectionThatWasClosedIsAFailureAndNothingIsRepeated(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"keep-get", "keep-post"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var received, answered atomic.Int64
			url := rawServer(t, func(conn net.Conn) {
				if readRequest(conn) {
					received.Add(1)
					say(conn, hello) // and closes, without having said so
					answered.Add(1)
				}
			})
			rep := load(t, "-url", url, "-rate", "100", "-duration", "1s", "-mix", kind+"=1")
			if rep.Total.Sent != 100 || rep.Total.Failed != 50 {
				t.Errorf("want every second of 100 to fail, got %d of %d", rep.Total.Failed, rep.Total.Sent)
			}
			if received.Load() != 50 || int64(rep.Total.OK) != answered.Load() {
				t.Errorf("server got %d and answered %d, client saw %d", received.Load(), answered.Load(), rep.Total.OK)
			}
			if rep.Total.Failures["eof"]+rep.Total.Failures["reset"] != 50 {
				t.Errorf("failures %v", rep.Total.Failures)
			}
		})
	}
}

func TestConnectionsAreKeptUntilTheServerAsksToLeave(t *testing.T) {
	t.Parallel()
	var connections, requests atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1)%10 == 0 {
			w.Header().Set("Connection", "close")
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	rep := load(t, "-url", server.URL, "-rate", "100", "-duration", "1s", "-mix", "keep-get=1,keep-post=1")
	if rep.Total.Failed != 0 || requests.Load() != 100 {
		t.Errorf("%d failed, server saw %d", rep.Total.Failed, requests.Load())
	}
	if n := connections.Load(); n < 10 || n > 20 {
		t.Errorf("want about 10 connections for 100 requests, got %d", n)
	}
}

func TestAConnectionIdleForTooLongIsNotUsed(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	url := rawServer(t, func(conn net.Conn) {
		connections.Add(1)
		serveHello(conn)
	})
	load(t, "-url", url, "-rate", "5", "-duration", "1s", "-mix", "keep-get=1", "-max-idle", "50ms")
	if n := connections.Load(); n != 5 {
		t.Errorf("want 5 connections, got %d", n)
	}
}

func TestFailuresAreToldApart(t *testing.T) {
	t.Parallel()
	for want, server := range map[string]struct {
		kind   string
		handle func(net.Conn)
	}{
		"eof": {"new-get", func(conn net.Conn) { readRequest(conn) }},
		"reset": {"new-post", func(conn net.Conn) {
			readRequest(conn)
			_ = conn.(*net.TCPConn).SetLinger(0)
		}},
		"timeout":    {"new-get", func(conn net.Conn) { time.Sleep(2 * time.Second) }},
		"status_5xx": {"keep-get", func(conn net.Conn) { answerOnce(conn, 503) }},
		"status_4xx": {"new-get", func(conn net.Conn) { answerOnce(conn, 404) }},
		"other":      {"new-get", func(conn net.Conn) { answerOnce(conn, 301) }},
		"stream_cut": {"stream", func(conn net.Conn) {
			readRequest(conn)
			say(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nevent: tick\n\n")
		}},
		"refused": {"new-get", nil},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			url := closedPort(t)
			if server.handle != nil {
				url = rawServer(t, server.handle)
			}
			rep := load(t, "-url", url, "-rate", "50", "-duration", "100ms", "-mix", server.kind+"=1", "-timeout", "300ms")
			if rep.Total.Sent != 5 || rep.Total.Failures[want] != 5 {
				t.Errorf("want 5 × %s, got %v", want, rep.Total.Failures)
			}
			if len(rep.Samples) != 5 || rep.Samples[0].Failure != want || rep.Samples[0].Error == "" {
				t.Errorf("samples %+v", rep.Samples)
			}
		})
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func answerOnce(conn net.Conn, status int) {
	if readRequest(conn) {
		say(conn, "HTTP/1.1 "+strconv.Itoa(status)+" X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	for name, goodbye := range map[string]bool{"the server says goodbye": true, "the client leaves": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for range 5 {
					fmt.Fprint(w, "event: tick\ndata: 1\n\n")
					_ = http.NewResponseController(w).Flush()
					time.Sleep(20 * time.Millisecond)
				}
				if !goodbye {
					<-r.Context().Done()
				}
				fmt.Fprint(w, "event: close\n\n")
			}))
			defer server.Close()
			rep := load(t, "-url", server.URL, "-rate", "10", "-duration", "300ms", "-mix", "stream=1", "-stream-ms", "200")
			if rep.Total.Sent != 3 || rep.Total.Failed != 0 {
				t.Errorf("%d of %d failed: %+v", rep.Total.Failed, rep.Total.Sent, rep.Samples)
			}
			if latency := rep.Kinds["stream"].Latency.Max; latency <= 0 || latency > 90 {
				t.Errorf("latency is until the first event, got %g ms", latency)
			}
		})
	}
}

func TestLatencyCountsFromTheSchedule(t *testing.T) {
	t.Parallel()
	var first atomic.Bool
	url := rawServer(t, func(conn net.Conn) {
		readRequest(conn)
		if first.CompareAndSwap(false, true) {
			time.Sleep(500 * time.Millisecond)
		}
		say(conn, hello)
	})
	// One in flight: the others have to wait, as behind a server with one worker.
	rep := load(t, "-url", url, "-rate", "20", "-duration", "500ms", "-mix", "new-get=1", "-max-in-flight", "1")
	if rep.Total.Sent != 10 || rep.Total.Latency.P50 < 200 || rep.Total.Late < 8 {
		t.Errorf("the wait is missing: %+v", rep.Total)
	}
}
