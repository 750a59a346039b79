package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	maxBody     = 1 << 20
	maxSlow     = 10 * time.Minute
	streamEvery = 200 * time.Millisecond
)

// shop is what the service does; server.go is how it lives and dies.
type shop struct {
	faults   faults
	ready    time.Time
	draining <-chan struct{}
	metrics  metrics
	errors   share
	slows    share
}

func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.hello)
	mux.HandleFunc("POST /{$}", s.hello)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, thisBuild()) })
	mux.HandleFunc("GET /slow", s.slow)
	mux.HandleFunc("GET /stream", s.stream)
	mux.Handle("GET /metrics", &s.metrics)
	return s.observed(mux)
}

func (s *shop) hello(w http.ResponseWriter, r *http.Request) {
	read, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		answer(w, http.StatusRequestEntityTooLarge, map[string]any{"error": "body too large", "limit": maxBody})
		return
	}
	if err != nil {
		return // the client went away: nobody is left to answer
	}
	if s.slows.next(s.faults.slowRatio) {
		pause(r, s.faults.slowBy)
	}
	if s.errors.next(s.faults.errorRatio) {
		answer(w, http.StatusInternalServerError, map[string]any{"error": "APP_ERROR_RATIO"})
		return
	}
	build := thisBuild()
	answer(w, http.StatusOK, map[string]any{"version": build.Version, "pid": build.PID, "body_bytes": read})
}

// healthz says whether this process works. A draining process is healthy.
func (s *shop) healthz(w http.ResponseWriter, _ *http.Request) {
	if after := s.faults.unhealthyAfter; after != never && time.Since(s.ready) >= after {
		answer(w, http.StatusServiceUnavailable, map[string]any{"status": "fail", "reason": "APP_UNHEALTHY_AFTER"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"status": "pass"})
}

// readyz says whether to send new requests here: not to a draining process.
func (s *shop) readyz(w http.ResponseWriter, r *http.Request) {
	if isClosed(s.draining) {
		answer(w, http.StatusServiceUnavailable, map[string]any{"status": "fail", "reason": "draining"})
		return
	}
	s.healthz(w, r)
}

func (s *shop) slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	wait := time.Duration(ms) * time.Millisecond
	if err != nil || ms < 0 || wait > maxSlow {
		answer(w, http.StatusBadRequest, map[string]any{"error": fmt.Sprintf("want ms=0 to %d", maxSlow.Milliseconds())})
		return
	}
	extendDeadline(w, wait)
	pause(r, wait)
	answer(w, http.StatusOK, map[string]any{"version": version, "slept_ms": ms})
}

// stream sends server-sent events until the client leaves or this process drains. It says goodbye instead of being
// cut, so that a client knows to connect again and reaches the next release.
func (s *shop) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	// The stream may end in a drain: let no request follow on this connection.
	w.Header().Set("Connection", "close")
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		extendDeadline(w, 0)
		fmt.Fprintf(w, "event: tick\ndata: {\"n\":%d,\"version\":%q}\n\n", n, version)
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-s.draining:
			fmt.Fprintf(w, "event: close\ndata: {\"reason\":\"drain\",\"version\":%q}\n\n", version)
			return
		}
	}
}

// observed puts the version on every response, counts it, and asks the client to leave once this process drains.
func (s *shop) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", version)
		seen := &response{ResponseWriter: w, draining: s.draining, start: time.Now()}
		next.ServeHTTP(seen, r)
		if seen.code == 0 {
			seen.WriteHeader(http.StatusOK)
		}
		s.metrics.observe(seen.code, seen.took)
	})
}

// response decides about "Connection: close" when the header leaves, not when the request came: a request that was in
// flight when the drain began is then the last one on its connection.
type response struct {
	http.ResponseWriter
	draining <-chan struct{}
	start    time.Time
	took     time.Duration // until the answer began: a stream is not a slow request
	code     int
}

func (r *response) WriteHeader(code int) {
	if r.code == 0 && code >= 200 {
		r.code, r.took = code, time.Since(r.start)
		if isClosed(r.draining) {
			r.Header().Set("Connection", "close")
		}
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *response) Write(data []byte) (int, error) {
	if r.code == 0 {
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(data)
}

// Unwrap lets http.ResponseController reach flushing and deadlines.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // a client that went away is no error of ours
}

func pause(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// extendDeadline replaces the server's WriteTimeout for an answer that takes longer on purpose.
func extendDeadline(w http.ResponseWriter, by time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(by + writeTimeout))
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
