package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// firstFD is where systemd puts the first socket it passes: after stdin, stdout and stderr.
const firstFD = 3

// inheritedListeners takes the sockets of systemd, or of the process this one takes over from.
func inheritedListeners() ([]net.Listener, error) {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	// A child of this process must not take these for its own.
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if count == "" || (pid != strconv.Itoa(os.Getpid()) && !isHandover()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1024 {
		return nil, fmt.Errorf("LISTEN_FDS=%q: want a number of sockets", count)
	}
	var listeners []net.Listener
	for fd := firstFD; fd < firstFD+n; fd++ {
		l, err := fromDescriptor(fd)
		if err != nil {
			return nil, fmt.Errorf("LISTEN_FDS: descriptor %d is not a listening stream socket: %w", fd, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func fromDescriptor(fd int) (net.Listener, error) {
	listening, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err == nil && listening == 0 {
		err = syscall.EINVAL
	}
	if err != nil {
		return nil, err
	}
	// O_NONBLOCK belongs to the socket, not to the process: systemd clears it when it starts the next process on this
	// socket (unless the unit says NonBlocking=yes), and accept(2) in this one may then sleep until a client comes.
	// Closing the listener would wait for it, and so would a drain. This bounds the sleep.
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 1}); err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "listener") // net.FileListener works on a duplicate
	defer file.Close()
	return net.FileListener(file)
}

// openListener opens an address of one's own.
func openListener(addr string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(addr, "unix:")
	if !isUnix {
		return net.Listen("tcp", addr)
	}
	// A socket file nobody answers on is what a killed process left behind.
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("listen unix %s: address already in use", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	if err == nil {
		// After a handover the file belongs to the next process.
		l.(*net.UnixListener).SetUnlinkOnClose(false)
	}
	return l, err
}

// duplicate returns a descriptor of l to hand to another process. Not l.File(): its descriptor turns blocking when it
// is passed on, and with it, being the same socket, the one this process is still accepting on.
func duplicate(l net.Listener) (*os.File, error) {
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var copied int
	var dupErr error
	err = raw.Control(func(fd uintptr) {
		if copied, dupErr = syscall.Dup(int(fd)); dupErr == nil {
			syscall.CloseOnExec(copied)
		}
	})
	if err := errors.Join(err, dupErr); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(copied), "listener"), nil
}
