package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSwapOnASharedSocketLosesNoRequest(t *testing.T) {
	t.Parallel()
	addr, socket := sharedSocket(t, "tcp", "127.0.0.1:0")
	systemd := newManager(t)
	next := func(v string) *process {
		p := start(t, v, []*os.File{socket}, systemd.env())
		systemd.await(t, "READY=1")
		return p
	}
	running := next("1.0.0")
	load := startHammer(addr.String(), 16)
	load.await(t, "1.0.0")
	for _, v := range []string{"2.0.0", "3.0.0", "4.0.0"} {
		old := running
		running = next(v)
		old.signal(syscall.SIGTERM)
		load.await(t, v)
		if code := old.exitCode(5 * time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	load.stop(t)
}

func TestDrainAnswersWhatIsInFlightAndWhatStillArrives(t *testing.T) {
	t.Parallel()
	p := start(t, "1.0.0", nil, "PORT=0", "HOST=127.0.0.1")
	address := p.address()
	kept, slow := mustDial(t, address), mustDial(t, address)
	if response, _ := kept.must(t, "GET", "/", ""); response.Close {
		t.Error("connection closed before the drain")
	}
	inFlight := make(chan *http.Response)
	go func() {
		response, _, _ := slow.do("GET", "/slow?ms=1500", "")
		inFlight <- response
	}()
	time.Sleep(100 * time.Millisecond)
	p.signal(syscall.SIGTERM)
	time.Sleep(500 * time.Millisecond)

	if _, err := dial(address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("it still accepts: %v", err)
	}
	if response, _ := kept.must(t, "POST", "/", "late"); response.StatusCode != http.StatusOK || !response.Close {
		t.Errorf("want 200 and Connection: close, got %s %v", response.Status, response.Header)
	}
	if response := <-inFlight; response == nil || response.StatusCode != http.StatusOK || !response.Close {
		t.Errorf("the request in flight was lost: %+v", response)
	}
	if code := p.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestDrainClosesSilentConnectionsOnlyAfterTheLinger(t *testing.T) {
	t.Parallel()
	p := start(t, "1.0.0", nil, "PORT=0", "HOST=127.0.0.1", "DRAIN_LINGER=600ms")
	silent := mustDial(t, p.address())
	silent.must(t, "GET", "/", "")
	began := time.Now()
	p.signal(syscall.SIGTERM)
	if _, err := silent.reader.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("want a clean close, got %v", err)
	}
	if after := time.Since(began); after < 550*time.Millisecond {
		t.Errorf("closed after %s", after)
	}
	p.exitCode(5 * time.Second)
}

func TestDrainWithoutConnectionsIsQuick(t *testing.T) {
	t.Parallel()
	p := start(t, "1.0.0", nil, "PORT=0", "HOST=127.0.0.1", "DRAIN_LINGER=1m")
	p.address()
	p.signal(syscall.SIGINT)
	if code := p.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	p := start(t, "1.0.0", nil, "PORT=0", "HOST=127.0.0.1", "DRAIN_LINGER=0s", "DRAIN_TIMEOUT=200ms")
	stuck := mustDial(t, p.address())
	if _, err := io.WriteString(stuck, "GET /slow?ms=30000 HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	p.signal(syscall.SIGTERM)
	if code := p.exitCode(5 * time.Second); code != exitFailed {
		t.Errorf("it cut a request: want exit code %d, got %d", exitFailed, code)
	}
}

func TestStreamSaysGoodbye(t *testing.T) {
	t.Parallel()
	p := start(t, "1.0.0", nil, "PORT=0", "HOST=127.0.0.1")
	c := mustDial(t, p.address())
	if _, err := io.WriteString(c, "GET /stream HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Scan() // the first event is there at once
	p.signal(syscall.SIGTERM)
	events := []string{lines.Text()}
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "event:") {
			events = append(events, lines.Text())
		}
	}
	if lines.Err() != nil || events[0] != "event: tick" || events[len(events)-1] != "event: close" {
		t.Errorf("want a closing event, got %q, error %v", events, lines.Err())
	}
	if code := p.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// systemd clears O_NONBLOCK on a shared socket each time it starts a process on it.
func TestDrainEndsThoughTheSocketBecameBlocking(t *testing.T) {
	t.Parallel()
	addr, socket := sharedSocket(t, "tcp", "127.0.0.1:0")
	p := start(t, "1.0.0", []*os.File{socket})
	p.address()
	if err := syscall.SetNonblock(int(socket.Fd()), false); err != nil {
		t.Fatal(err)
	}
	mustDial(t, addr.String()).must(t, "GET", "/", "") // after this one it waits inside accept(2)
	p.signal(syscall.SIGTERM)
	p.exitCode(4 * time.Second)
}
