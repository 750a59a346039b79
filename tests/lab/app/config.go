package main

import (
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// never is the value of an optional duration that was not set: 0s already means "at once".
const never = time.Duration(-1)

type config struct {
	listenAddr      string // "host:port" or "unix:/path"; empty when sockets are inherited
	adminAddr       string // a second one, for a service with two public ports; empty for none
	drainLinger     time.Duration
	drainTimeout    time.Duration
	handoverBinary  string
	handoverTimeout time.Duration
	faults          faults
}

// environment reads typed values and keeps the first error, so that callers stay one line per setting.
// An empty value counts as not set: that is what a template leaves behind for an undefined variable.
type environment struct{ err error }

func readConfig() (config, error) {
	var env environment
	cfg := config{
		listenAddr:      env.listenAddr(),
		adminAddr:       env.port("PORT_ADMIN"),
		drainLinger:     env.duration("DRAIN_LINGER", time.Second),
		drainTimeout:    env.duration("DRAIN_TIMEOUT", 30*time.Second),
		handoverBinary:  firstOf(os.Getenv("HANDOVER_BINARY"), os.Args[0]),
		handoverTimeout: env.duration("HANDOVER_TIMEOUT", 30*time.Second),
		faults:          env.faults(),
	}
	return cfg, env.err
}

func (e *environment) fail(name, value, want string) {
	if e.err == nil {
		e.err = fmt.Errorf("%s=%q: %s", name, value, want)
	}
}

func (e *environment) duration(name string, fallback time.Duration) time.Duration {
	value := os.Getenv(name)
	if value == "" {
		return fallback
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		e.fail(name, value, "want a duration such as 300ms, 2s or 1m")
	}
	return d
}

func (e *environment) boolean(name string) bool {
	value := os.Getenv(name)
	if value == "" {
		return false
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		e.fail(name, value, "want true or false")
	}
	return b
}

func (e *environment) ratio(name string) float64 {
	value := os.Getenv(name)
	if value == "" {
		return 0
	}
	r, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(r) || r < 0 || r > 1 {
		e.fail(name, value, "want a share between 0 and 1, such as 0.05")
	}
	return r
}

func (e *environment) milliseconds(name string) time.Duration {
	value := os.Getenv(name)
	if value == "" {
		return 0
	}
	ms, err := strconv.Atoi(value)
	if err != nil || ms < 0 || ms > int(maxSlow.Milliseconds()) {
		e.fail(name, value, fmt.Sprintf("want milliseconds, 0 to %d", maxSlow.Milliseconds()))
	}
	return time.Duration(ms) * time.Millisecond
}

func (e *environment) listenAddr() string {
	if addr := os.Getenv("LISTEN_ADDR"); addr != "" {
		_, port, err := net.SplitHostPort(addr)
		if !strings.HasPrefix(addr, "unix:/") && (err != nil || !validPort(port)) {
			e.fail("LISTEN_ADDR", addr, "want host:port, :port or unix:/path")
		}
		return addr
	}
	return e.port("PORT")
}

// port is the address with the port that a variable has; empty when that is not set.
func (e *environment) port(name string) string {
	port := os.Getenv(name)
	if port == "" {
		return ""
	}
	if !validPort(port) {
		e.fail(name, port, "want a port number, 0 to 65535")
	}
	return net.JoinHostPort(os.Getenv("HOST"), port)
}

func validPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}
