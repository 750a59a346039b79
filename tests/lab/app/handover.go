package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// readyFD names the pipe on which the next process says that it serves.
	readyFD   = "HANDOVER_READY_FD"
	killAfter = 5 * time.Second
)

func isHandover() bool { return os.Getenv(readyFD) != "" }

// handover is a next process that was started on the same sockets and does not serve yet.
type handover struct {
	child   *exec.Cmd
	serves  chan struct{}
	died    chan error
	stop    chan struct{}
	settled chan error
}

// startHandover starts the next process. The result is nil once that one serves; if it dies, or is not ready in time,
// it is an error and the process is gone: this one has lost nothing and goes on.
func startHandover(cfg config, listeners []net.Listener) *handover {
	notify("RELOADING=1", "STATUS="+version+" is handing over")
	slog.Info("handing over", "binary", cfg.handoverBinary)
	h := &handover{
		serves:  make(chan struct{}),
		died:    make(chan error, 1),
		stop:    make(chan struct{}),
		settled: make(chan error, 1),
	}
	if err := h.start(cfg.handoverBinary, listeners); err != nil {
		h.settled <- err
	} else {
		go func() { h.settled <- h.await(cfg.handoverTimeout) }()
	}
	return h
}

func (h *handover) start(binary string, listeners []net.Listener) error {
	ready, childReady, err := os.Pipe()
	if err != nil {
		return err
	}
	defer childReady.Close()

	// A path such as /opt/shop/current/shop: the symlink is followed now, so it leads to the new release.
	// os.Executable would name the old one.
	h.child = exec.Command(binary, os.Args[1:]...)
	h.child.Stdout, h.child.Stderr = os.Stdout, os.Stderr
	for _, l := range listeners {
		file, err := duplicate(l)
		if err != nil {
			ready.Close()
			return err
		}
		defer file.Close()
		h.child.ExtraFiles = append(h.child.ExtraFiles, file)
	}
	h.child.ExtraFiles = append(h.child.ExtraFiles, childReady)
	h.child.Env = append(environWithout("WATCHDOG_PID"),
		"LISTEN_FDS="+strconv.Itoa(len(listeners)),
		readyFD+"="+strconv.Itoa(firstFD+len(listeners)))
	if err := h.child.Start(); err != nil {
		ready.Close()
		return err
	}
	go func() { h.died <- h.child.Wait() }()
	go func() {
		defer ready.Close()
		if n, _ := ready.Read(make([]byte, 1)); n == 1 {
			close(h.serves)
		}
	}()
	return nil
}

func (h *handover) await(timeout time.Duration) error {
	pid := h.child.Process.Pid
	var err error
	select {
	case <-h.serves:
		return nil
	case <-h.died:
		return fmt.Errorf("process %d ended before it was ready: %s", pid, h.child.ProcessState)
	case <-time.After(timeout):
		err = fmt.Errorf("process %d was not ready within %s", pid, timeout)
	case <-h.stop:
		err = errors.New("stopped")
	}
	_ = h.child.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.died:
	case <-time.After(killAfter):
		_ = h.child.Process.Kill()
		<-h.died
	}
	return err
}

// result never answers when there is no handover.
func (h *handover) result() <-chan error {
	if h == nil {
		return nil
	}
	return h.settled
}

// cancel stops a next process that does not serve yet. The function it returns waits for that.
func (h *handover) cancel() (wait func()) {
	if h == nil {
		return func() {}
	}
	close(h.stop)
	return func() { <-h.settled }
}

// announceReady tells systemd, and the process this one takes over from, that requests are being answered.
func announceReady() {
	state := []string{"READY=1", "STATUS=" + version + " is serving"}
	if !isHandover() {
		notify(state...)
		return
	}
	// systemd has to know its new main process before the old one may exit.
	notify(append(state, fmt.Sprintf("MAINPID=%d", os.Getpid()))...)
	if fd, err := strconv.Atoi(os.Getenv(readyFD)); err == nil {
		pipe := os.NewFile(uintptr(fd), "ready")
		_, _ = pipe.Write([]byte{1}) // if the old process is gone there is nobody to tell
		pipe.Close()
	}
	os.Unsetenv(readyFD)
}

func environWithout(name string) []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
}
