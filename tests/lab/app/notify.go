package main

import (
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// notify tells systemd about this process. Without NOTIFY_SOCKET, say on a laptop, it does nothing.
func notify(state ...string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err == nil {
		defer conn.Close()
		_, err = conn.Write([]byte(strings.Join(state, "\n")))
	}
	if err != nil {
		slog.Warn("systemd did not take the notification", "error", err)
	}
}

// petWatchdog reports twice per period for as long as the process lives.
func petWatchdog() {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return
	}
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return
	}
	for range time.Tick(time.Duration(usec) * time.Microsecond / 2) {
		notify("WATCHDOG=1")
	}
}
