package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	writeTimeout = 30 * time.Second
	beforeExit   = 100 * time.Millisecond
)

// server answers requests until it is drained.
type server struct {
	http      *http.Server
	listeners []net.Listener
	draining  chan struct{}
	accepting sync.WaitGroup
	failed    chan error
	open      atomic.Int64
}

func newServer(listeners []net.Listener, faults faults) *server {
	s := &server{listeners: listeners, draining: make(chan struct{}), failed: make(chan error, len(listeners))}
	app := &shop{faults: faults, ready: time.Now(), draining: s.draining}
	s.http = &http.Server{
		Handler:           app.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute, // above that of clients and proxies, so that they hang up first
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
		ConnState:         s.count,
	}
	return s
}

func (s *server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

func (s *server) start() {
	for _, l := range s.listeners {
		s.accepting.Go(func() {
			if err := s.http.Serve(l); !isClosed(s.draining) {
				s.failed <- fmt.Errorf("accept on %s: %w", l.Addr(), err)
			}
		})
	}
}

// drain ends this process's work with nothing lost. http.Server.Shutdown alone closes every connection that looks idle,
// also one on which a request is just arriving; clients do not repeat a POST. So, in this order:
func (s *server) drain(linger, timeout time.Duration) error {
	// 1. From here on every response says "Connection: close": clients leave by themselves.
	close(s.draining)
	// 2. Accept no more. On a shared socket the next connection goes to the other process.
	for _, l := range s.listeners {
		l.Close()
	}
	s.accepting.Wait() // what was accepted is now counted in s.open
	// 3. Keep answering while clients get to know.
	for until := time.Now().Add(linger); s.open.Load() > 0 && time.Now().Before(until); {
		time.Sleep(5 * time.Millisecond)
	}
	// 4. Close the connections that stayed silent, wait for the requests still in flight.
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("cut %d connections after DRAIN_TIMEOUT", s.open.Load())
	}
	// 5. A moment more, for a connection that Shutdown took for abandoned and that was just about to speak.
	time.Sleep(beforeExit)
	return err
}
