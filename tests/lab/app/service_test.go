package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestNotReadyTakesNoConnection(t *testing.T) {
	t.Parallel()
	addr, socket := sharedSocket(t, "tcp", "127.0.0.1:0")
	systemd := newManager(t)
	start(t, "1.0.0", []*os.File{socket}, systemd.env())
	systemd.await(t, "READY=1")
	booting := start(t, "2.0.0", []*os.File{socket}, systemd.env(), "APP_NEVER_READY=true")
	systemd.await(t, "2.0.0 is booting")
	for range 100 {
		c := mustDial(t, addr.String())
		if response, _ := c.must(t, "GET", "/", ""); response.Header.Get("X-Version") != "1.0.0" {
			t.Fatalf("answered by %s", response.Header.Get("X-Version"))
		}
		c.Close()
	}
	booting.signal(syscall.SIGTERM)
	if code := booting.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	systemd.silent(t, "READY=1")
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	p := start(t, "1.2.3", nil, "PORT=0", "HOST=127.0.0.1")
	c := mustDial(t, p.address())
	for _, want := range []struct {
		method, path, body string
		status             int
		holds              string
	}{
		{"GET", "/", "", 200, `"version":"1.2.3"`},
		{"POST", "/", "hello", 200, `"body_bytes":5`},
		{"GET", "/healthz", "", 200, "pass"},
		{"GET", "/readyz", "", 200, "pass"},
		{"GET", "/version", "", 200, `"commit":`},
		{"GET", "/slow?ms=10", "", 200, `"slept_ms":10`},
		{"GET", "/slow?ms=soon", "", 400, "want ms"},
		{"GET", "/slow?ms=600001", "", 400, "want ms"},
		{"GET", "/nothing", "", 404, ""},
		{"DELETE", "/", "", 405, ""},
		{"GET", "/metrics", "", 200, `app_info{version="1.2.3"`},
		{"GET", "/metrics", "", 200, `http_requests_total{code="200"} 7`},
		{"GET", "/metrics", "", 200, `http_request_duration_seconds_bucket{le="+Inf"} 12`},
	} {
		response, text := c.must(t, want.method, want.path, want.body)
		if response.StatusCode != want.status || !strings.Contains(text, want.holds) {
			t.Errorf("%s %s: want %d and %q, got %s\n%s", want.method, want.path, want.status, want.holds, response.Status, text)
		}
		if response.Header.Get("X-Version") != "1.2.3" {
			t.Errorf("%s %s: no X-Version", want.method, want.path)
		}
	}
	_, text := c.must(t, "GET", "/version", "")
	var build buildInfo
	if err := json.Unmarshal([]byte(text), &build); err != nil || build.PID != p.Process.Pid {
		t.Errorf("/version: %s %v", text, err)
	}
}

func TestSeveralInheritedSockets(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	tcp, first := sharedSocket(t, "tcp", "127.0.0.1:0")
	unix, second := sharedSocket(t, "unix", filepath.Join(dir, "s"))
	p := start(t, "1.0.0", []*os.File{first, second})
	p.address()
	mustDial(t, tcp.String()).must(t, "GET", "/", "")
	overUnix(t, unix.String())
	p.signal(syscall.SIGTERM)
	p.exitCode(5 * time.Second)
	if _, err := os.Stat(unix.String()); err != nil {
		t.Errorf("it removed a socket that is not its own: %v", err)
	}
}

func TestListensOnAUnixSocketThatWasLeftBehind(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	_, stale := sharedSocket(t, "unix", path)
	stale.Close()
	start(t, "1.0.0", nil, "LISTEN_ADDR=unix:"+path).address()
	overUnix(t, path)
	second := start(t, "2.0.0", nil, "LISTEN_ADDR=unix:"+path)
	if code := second.exitCode(5 * time.Second); code != exitFailed {
		t.Errorf("it took the socket of a running process: exit code %d", code)
	}
}

func overUnix(t *testing.T, path string) {
	t.Helper()
	web := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		Dial:              func(string, string) (net.Conn, error) { return net.Dial("unix", path) },
	}}
	response, err := web.Get("http://shop/healthz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

func TestSystemdHearsWhatHappens(t *testing.T) {
	t.Parallel()
	systemd := newManager(t)
	began := time.Now()
	p := start(t, "1.0.0", nil, "PORT=0", "HOST=127.0.0.1", systemd.env(), "WATCHDOG_USEC=100000", "APP_BOOT_DELAY=300ms")
	systemd.await(t, "READY=1")
	if time.Since(began) < 300*time.Millisecond {
		t.Error("READY=1 before it was")
	}
	systemd.await(t, "WATCHDOG=1")
	p.signal(syscall.SIGTERM)
	systemd.await(t, "STOPPING=1")
}

func TestMisbehaviour(t *testing.T) {
	t.Parallel()
	p := start(t, "1.0.0", nil, "PORT=0", "HOST=127.0.0.1", "APP_UNHEALTHY_AFTER=0s", "APP_ERROR_RATIO=0.25",
		"APP_SLOW_RATIO=1", "APP_SLOW_MS=20", "APP_CRASH_AFTER=3s")
	c := mustDial(t, p.address())
	for _, path := range []string{"/healthz", "/readyz"} {
		if response, _ := c.must(t, "GET", path, ""); response.StatusCode != 503 {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
	began, failed := time.Now(), 0
	for range 20 {
		if response, _ := c.must(t, "GET", "/", ""); response.StatusCode == 500 {
			failed++
		}
	}
	if failed != 5 || time.Since(began) < 400*time.Millisecond {
		t.Errorf("want 5 of 20 failed and all slow, got %d in %s", failed, time.Since(began))
	}
	if code := p.exitCode(4 * time.Second); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

func TestBadInputIsOneLineAndExitCodeTwo(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{
		"APP_BOOT_DELAY=soon", "APP_BOOT_DELAY=-1s", "APP_NEVER_READY=perhaps", "APP_ERROR_RATIO=1.1", "APP_ERROR_RATIO=NaN",
		"APP_SLOW_RATIO=0.5", "APP_SLOW_MS=5", "APP_SLOW_MS=x", "APP_CRASH_AFTER=1", "DRAIN_LINGER=1", "DRAIN_TIMEOUT=never",
		"PORT=http", "PORT=65536", "LISTEN_ADDR=8080", "LISTEN_ADDR=unix:relative", "LISTEN_FDS=3", "LISTEN_FDS=many", "PORT=",
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			env := []string{setting}
			if strings.HasPrefix(setting, "APP_") || strings.HasPrefix(setting, "DRAIN_") {
				env = append(env, "PORT=0")
			}
			p := start(t, "1.0.0", nil, env...)
			code := p.exitCode(5 * time.Second)
			text := p.output()
			name, _, _ := strings.Cut(setting, "=")
			if code != exitBadInput || strings.Count(text, "\n") != 1 || !strings.Contains(text, name) {
				t.Errorf("exit code %d, output %q", code, text)
			}
		})
	}
}

func TestSocketsForAnotherProcessAreLeftAlone(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	if listeners, err := inheritedListeners(); err != nil || listeners != nil {
		t.Errorf("took %v, error %v", listeners, err)
	}
}
