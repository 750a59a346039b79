package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The test binary doubles as the service: started with this variable it is main() with the version in the value.
const asService = "SHOP_TEST_VERSION"

func TestMain(m *testing.M) {
	if v := os.Getenv(asService); v != "" {
		version = v
		main()
	}
	os.Exit(m.Run())
}

// process is a running service.
type process struct {
	*exec.Cmd
	t    *testing.T
	log  string
	done chan struct{}
}

// start runs the service with these settings. Files become LISTEN_FDS.
func start(t *testing.T, v string, files []*os.File, env ...string) *process {
	t.Helper()
	// A file, not a pipe: a process it hands over to goes on writing after this one has ended.
	stderr, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p := &process{t: t, log: stderr.Name(), done: make(chan struct{})}
	// LISTEN_PID has to hold the pid of the process itself, which a shell knows before it becomes that process.
	p.Cmd = exec.Command("/bin/sh", "-c", `[ -z "$LISTEN_FDS" ] || export LISTEN_PID=$$; exec "$0"`, os.Args[0])
	p.Env = append([]string{"PATH=" + os.Getenv("PATH"), asService + "=" + v}, env...)
	if len(files) > 0 {
		p.ExtraFiles = files
		p.Env = append(p.Env, fmt.Sprintf("LISTEN_FDS=%d", len(files)))
	}
	p.Stderr = stderr
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to end it together with every process it handed over to
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.Wait(); close(p.done) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("log of %s:\n%s", v, p.output())
		}
	})
	return p
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// exitCode waits for the end.
func (p *process) exitCode(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("still running after %s", within)
		return -1
	}
}

// address is where the process says it serves.
func (p *process) address() string {
	p.t.Helper()
	for range 500 {
		for line := range strings.Lines(p.output()) {
			var entry struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
				return entry.Address
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatal("it never served")
	return ""
}

func (p *process) output() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Error(err)
	}
	return string(text)
}

// manager stands in for systemd: it keeps the messages of sd_notify.
type manager struct {
	path     string
	messages chan string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "shop") // t.TempDir() can be longer than a socket path may be
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{path: filepath.Join(dir, "notify"), messages: make(chan string, 10_000)}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); os.RemoveAll(dir) })
	go func() {
		for data := make([]byte, 4096); ; {
			n, err := conn.Read(data)
			if err != nil {
				return
			}
			m.messages <- string(data[:n])
		}
	}()
	return m
}

func (m *manager) env() string { return "NOTIFY_SOCKET=" + m.path }

// await returns the first message that holds text.
func (m *manager) await(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		select {
		case message := <-m.messages:
			if strings.Contains(message, text) {
				return message
			}
		case <-deadline:
			t.Fatalf("no message with %s", text)
		}
	}
}

// silent fails the test if a message with text is waiting.
func (m *manager) silent(t *testing.T, text string) {
	t.Helper()
	for {
		select {
		case message := <-m.messages:
			if strings.Contains(message, text) {
				t.Errorf("unexpected message %q", message)
			}
		default:
			return
		}
	}
}

// sharedSocket is a listening socket owned by the test, as PID 1 would own it.
func sharedSocket(t *testing.T, network, address string) (net.Addr, *os.File) {
	t.Helper()
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // systemd's sockets are plain TCP
	l, err := plain.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	file, err := duplicate(l)
	if err != nil {
		t.Fatal(err)
	}
	if u, isUnix := l.(*net.UnixListener); isUnix {
		u.SetUnlinkOnClose(false)
	}
	l.Close() // the duplicate keeps it open; nobody accepts in this process
	t.Cleanup(func() { file.Close() })
	return l.Addr(), file
}

// client is one connection that never repeats a request.
type client struct {
	net.Conn
	reader *bufio.Reader
}

func dial(address string) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{conn, bufio.NewReader(conn)}, nil
}

func mustDial(t *testing.T, address string) *client {
	t.Helper()
	c, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (c *client) do(method, path, body string) (*http.Response, string, error) {
	_, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
	if err != nil {
		return nil, "", err
	}
	response, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	text, err := io.ReadAll(response.Body)
	return response, string(text), err
}

func (c *client) must(t *testing.T, method, path, body string) (*http.Response, string) {
	t.Helper()
	response, text, err := c.do(method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return response, text
}

// hammer POSTs on kept connections, one request after the other, until stopped.
type hammer struct {
	address string
	stopped atomic.Bool
	all     sync.WaitGroup
	mu      sync.Mutex
	counts  map[string]int
	errors  []error
}

func startHammer(address string, clients int) *hammer {
	h := &hammer{address: address, counts: map[string]int{}}
	for range clients {
		h.all.Go(h.loop)
	}
	return h
}

func (h *hammer) loop() {
	var c *client
	for !h.stopped.Load() {
		version, again, err := h.once(c)
		c = again
		h.mu.Lock()
		if err != nil {
			h.errors = append(h.errors, err)
		} else {
			h.counts[version]++
		}
		h.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	if c != nil {
		c.Close()
	}
}

func (h *hammer) once(c *client) (version string, again *client, err error) {
	if c == nil {
		if c, err = dial(h.address); err != nil {
			return "", nil, err
		}
	}
	response, _, err := c.do("POST", "/", "a body")
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", response.Status)
	}
	if err != nil || response.Close {
		c.Close()
		again = nil
	} else {
		again = c
	}
	if err != nil {
		return "", again, err
	}
	return response.Header.Get("X-Version"), again, nil
}

// await waits until a version gave another 20 answers.
func (h *hammer) await(t *testing.T, version string) {
	t.Helper()
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.counts[version]
	}
	for want, tries := count()+20, 0; count() < want; tries++ {
		if tries > 500 {
			t.Fatalf("%s does not answer", version)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// stop returns how many answers each version gave, and fails the test for every one that did not come.
func (h *hammer) stop(t *testing.T) map[string]int {
	t.Helper()
	h.stopped.Store(true)
	h.all.Wait()
	for _, err := range h.errors {
		t.Errorf("lost a request: %v", err)
	}
	t.Logf("answered: %v", h.counts)
	return h.counts
}
