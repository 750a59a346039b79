package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// release is a current symlink that can be pointed at another "binary": a script that sets what differs.
type release struct {
	t       *testing.T
	current string
}

func newRelease(t *testing.T) *release {
	return &release{t, filepath.Join(t.TempDir(), "current")}
}

func (r *release) flip(name, settings string) {
	r.t.Helper()
	script := filepath.Join(filepath.Dir(r.current), name)
	text := fmt.Sprintf("#!/bin/sh\n%s exec '%s'\n", settings, os.Args[0])
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		r.t.Fatal(err)
	}
	temporary := r.current + ".new"
	if err := os.Symlink(script, temporary); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(temporary, r.current); err != nil {
		r.t.Fatal(err)
	}
}

func mainPID(t *testing.T, message string) int {
	t.Helper()
	_, after, found := strings.Cut(message, "MAINPID=")
	pid, err := strconv.Atoi(strings.SplitN(after, "\n", 2)[0])
	if !found || err != nil {
		t.Fatalf("no MAINPID in %q", message)
	}
	return pid
}

func TestHandoverLosesNoRequest(t *testing.T) {
	t.Parallel()
	systemd, current := newManager(t), newRelease(t)
	p := start(t, "1.0.0", nil, "PORT=0", "HOST=127.0.0.1", systemd.env(), "HANDOVER_BINARY="+current.current,
		"WATCHDOG_PID=1")
	load := startHammer(p.address(), 16)
	load.await(t, "1.0.0")

	current.flip("two", asService+"=2.0.0")
	p.signal(syscall.SIGUSR2)
	systemd.await(t, "RELOADING=1")
	message := systemd.await(t, "MAINPID=")
	second := mainPID(t, message)
	if second == p.Process.Pid || !strings.Contains(message, "READY=1") {
		t.Errorf("want READY=1 from the child, got %q", message)
	}
	if code := p.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	systemd.silent(t, "STOPPING=1")

	// And on from the child, which inherited its socket.
	load.await(t, "2.0.0")
	current.flip("three", asService+"=3.0.0")
	if err := syscall.Kill(second, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	if third := mainPID(t, systemd.await(t, "MAINPID=")); third == second {
		t.Errorf("still process %d", third)
	}
	load.await(t, "3.0.0")
	time.Sleep(300 * time.Millisecond) // the second one ends meanwhile
	load.stop(t)
}

func TestHandoverThatFailsLeavesTheOldProcessServing(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{
		"never ready": "APP_NEVER_READY=true",
		"dies":        "APP_BOOT_DELAY=1m APP_CRASH_AFTER=50ms",
		"bad setting": "APP_BOOT_DELAY=soon",
		"missing":     "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			systemd, current := newManager(t), newRelease(t)
			if name != "missing" {
				current.flip("bad", asService+"=2.0.0 "+settings)
			}
			p := start(t, "1.0.0", nil, "PORT=0", "HOST=127.0.0.1", systemd.env(),
				"HANDOVER_BINARY="+current.current, "HANDOVER_TIMEOUT=600ms")
			load := startHammer(p.address(), 4)
			systemd.await(t, "READY=1")
			p.signal(syscall.SIGUSR2)
			systemd.await(t, "RELOADING=1")
			message := systemd.await(t, "READY=1")
			if mainPID(t, message) != p.Process.Pid || !strings.Contains(message, "handover failed") {
				t.Errorf("systemd does not know who serves: %q", message)
			}

			load.await(t, "1.0.0")

			// A later, good release still gets its turn.
			current.flip("good", asService+"=3.0.0")
			p.signal(syscall.SIGUSR2)
			systemd.await(t, "MAINPID=")
			p.exitCode(5 * time.Second)
			load.await(t, "3.0.0")
			if counts := load.stop(t); counts["2.0.0"] != 0 {
				t.Errorf("2.0.0 answered: %v", counts)
			}
		})
	}
}

func TestStopDuringAHandoverStopsBoth(t *testing.T) {
	t.Parallel()
	systemd, current := newManager(t), newRelease(t)
	current.flip("bad", "echo $$ >"+filepath.Dir(current.current)+"/pid; "+asService+"=2.0.0 APP_NEVER_READY=true")
	p := start(t, "1.0.0", nil, "PORT=0", "HOST=127.0.0.1", systemd.env(), "HANDOVER_BINARY="+current.current)
	p.address()
	p.signal(syscall.SIGUSR2)
	systemd.await(t, "2.0.0 is booting")
	p.signal(syscall.SIGTERM)
	if code := p.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	systemd.await(t, "STOPPING=1")
	pid, err := os.ReadFile(filepath.Join(filepath.Dir(current.current), "pid"))
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(child, 0); err != syscall.ESRCH {
		t.Errorf("process %d was left behind: %v", child, err)
	}
}
