// Command shop is the sample service of the lab, and the model for docs/guide/your-service.md: what a service has to do so
// that its releases lose no request.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	exitFailed   = 1
	exitBadInput = 2
)

func main() {
	// First of all: until someone listens for SIGUSR2 it kills the process.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR2)
	signal.Ignore(syscall.SIGPIPE) // a log reader that went away must not take the service with it
	os.Exit(run(signals))
}

func run(signals <-chan os.Signal) int {
	printVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *printVersion {
		fmt.Println(version)
		return 0
	}
	if flag.NArg() > 0 {
		return badInput(fmt.Errorf("unexpected argument %q: settings come from the environment", flag.Arg(0)))
	}
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("version", version, "pid", os.Getpid()))

	cfg, err := readConfig()
	if err != nil {
		return badInput(err)
	}
	listeners, err := inheritedListeners()
	if err != nil {
		return badInput(err)
	}
	if len(listeners) == 0 && cfg.listenAddr == "" {
		// No default: a service that lost its socket must fail, not serve where nobody asks.
		return badInput(errors.New("nowhere to listen: start it with LISTEN_FDS, LISTEN_ADDR or PORT"))
	}

	if !boot(cfg.faults, signals) {
		slog.Info("stopped before it was ready")
		return 0
	}
	// Only now: a port that is open early collects connections nobody answers.
	if len(listeners) == 0 {
		for _, addr := range []string{cfg.listenAddr, cfg.adminAddr} {
			if addr == "" {
				continue
			}
			l, err := openListener(addr)
			if err != nil {
				slog.Error("cannot listen", "error", err)
				return exitFailed
			}
			listeners = append(listeners, l)
		}
	}
	return serve(cfg, listeners, signals)
}

func badInput(err error) int {
	fmt.Fprintf(os.Stderr, "shop: %v\n", err)
	return exitBadInput
}

// boot is where a real service connects and warms up. It accepts nothing: on a shared socket every connection taken
// now would be one the running release could have answered.
func boot(faults faults, signals <-chan os.Signal) bool {
	if faults.crashAfter != never {
		time.AfterFunc(faults.crashAfter, func() {
			slog.Error("crashing", "reason", "APP_CRASH_AFTER")
			os.Exit(exitFailed)
		})
	}
	notify("STATUS=" + version + " is booting")
	ready := time.After(faults.bootDelay)
	if faults.neverReady {
		ready = nil
	}
	for {
		select {
		case <-ready:
			return true
		case sig := <-signals:
			if sig != syscall.SIGUSR2 {
				return false
			}
		}
	}
}

// serve runs until a signal ends it, or until the next process has taken over.
func serve(cfg config, listeners []net.Listener, signals <-chan os.Signal) int {
	srv := newServer(listeners, cfg.faults)
	srv.start()
	announceReady()
	go petWatchdog()
	for _, l := range listeners {
		slog.Info("serving", "address", l.Addr().String())
	}

	var next *handover
	for {
		select {
		case err := <-srv.failed:
			slog.Error("cannot accept", "error", err)
			return exitFailed
		case sig := <-signals:
			if sig == syscall.SIGUSR2 {
				if next == nil {
					next = startHandover(cfg, listeners)
				}
				continue
			}
			notify("STOPPING=1", "STATUS="+version+" is draining")
			defer next.cancel()()
			return drain(srv, cfg)
		case err := <-next.result():
			next = nil
			if err == nil {
				// No STOPPING=1: for systemd the service goes on, in the next process.
				return drain(srv, cfg)
			}
			slog.Error("handover failed, still serving", "error", err)
			// The next process may have claimed to be the main one just before it failed.
			notify("READY=1", fmt.Sprintf("MAINPID=%d", os.Getpid()), fmt.Sprintf("STATUS=%s is serving; handover failed: %v", version, err))
		}
	}
}

func drain(srv *server, cfg config) int {
	start := time.Now()
	slog.Info("draining", "open", srv.open.Load())
	if err := srv.drain(cfg.drainLinger, cfg.drainTimeout); err != nil {
		slog.Error("drain failed", "error", err)
		return exitFailed
	}
	slog.Info("drained", "seconds", time.Since(start).Seconds())
	return 0
}
