package main

import (
	"math"
	"slices"
	"sync"
	"time"
)

// lateAfter is how far behind its schedule a request may be sent before the client calls itself late.
const lateAfter = 10 * time.Millisecond

// record is one request in 16 bytes: ten minutes at 1,000 a second are 10 MB.
type record struct {
	due     uint32 // 10 µs since the start
	latency uint32 // µs from due to the answer
	took    uint32 // µs from due to the end
	version uint16
	kind    kind
	outcome outcome // with lateBit
}

const lateBit = 0x80

func (r record) late() bool      { return r.outcome&lateBit != 0 }
func (r record) result() outcome { return r.outcome &^ lateBit }

type failureSample struct {
	At      float64 `json:"at"`
	Target  string  `json:"target"`
	Kind    string  `json:"kind"`
	Failure string  `json:"failure"`
	Error   string  `json:"error"`
	Version string  `json:"version,omitempty"`
}

const maxSamples = 100

type recorder struct {
	start, end time.Time
	targets    []*target

	mu        sync.Mutex
	perTarget [][]record
	versions  []string
	index     map[string]uint16
	samples   []failureSample
}

func newRecorder(start time.Time, targets []*target) *recorder {
	return &recorder{start: start, targets: targets, perTarget: make([][]record, len(targets)), index: map[string]uint16{}}
}

func (r *recorder) add(target int, k kind, due, sent time.Time, res result) {
	entry := record{
		due:     uint32(due.Sub(r.start) / (10 * time.Microsecond)),
		latency: microseconds(res.answered.Sub(due)),
		took:    microseconds(res.ended.Sub(due)),
		kind:    k,
		outcome: res.outcome,
	}
	if sent.Sub(due) > lateAfter {
		entry.outcome |= lateBit
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	entry.version = r.versionIndex(res.version)
	r.perTarget[target] = append(r.perTarget[target], entry)
	if res.outcome != ok && len(r.samples) < maxSamples {
		r.samples = append(r.samples, failureSample{
			At: unix(due), Target: r.targets[target].name, Kind: kindNames[k], Failure: outcomeNames[res.outcome],
			Error: res.err.Error(), Version: res.version,
		})
	}
}

func (r *recorder) versionIndex(version string) uint16 {
	i, known := r.index[version]
	if !known {
		i = uint16(len(r.versions))
		r.index[version] = i
		r.versions = append(r.versions, version)
	}
	return i
}

func microseconds(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 0), math.MaxUint32))
}

func unix(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// summary is what is said about any set of requests.
type summary struct {
	Sent     int            `json:"sent"`
	OK       int            `json:"ok"`
	Failed   int            `json:"failed"`
	Late     int            `json:"late"`
	Failures map[string]int `json:"failures"`
	Versions map[string]int `json:"versions"`
	Latency  percentiles    `json:"latency_ms"`
}

// percentiles are over the requests that were answered well, exact, in milliseconds.
type percentiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
}

// tally builds a summary. Where kinds are mixed, those that take long on purpose do not count for latency.
type tally struct {
	summary
	mixed     bool
	versions  []int
	latencies []uint32
}

func (t *tally) add(entry record) {
	t.Sent++
	if entry.late() {
		t.Late++
	}
	if t.Failures == nil {
		t.Failures = map[string]int{}
	}
	for len(t.versions) <= int(entry.version) {
		t.versions = append(t.versions, 0)
	}
	t.versions[entry.version]++
	if result := entry.result(); result != ok {
		t.Failed++
		t.Failures[outcomeNames[result]]++
		return
	}
	t.OK++
	if !t.mixed || entry.kind < slow {
		t.latencies = append(t.latencies, entry.latency)
	}
}

func (t *tally) done(names []string) summary {
	s := t.summary
	if s.Failures == nil {
		s.Failures = map[string]int{}
	}
	s.Versions = map[string]int{}
	for i, n := range t.versions {
		if n > 0 && names[i] != "" {
			s.Versions[names[i]] = n
		}
	}
	slices.Sort(t.latencies)
	s.Latency = percentiles{
		Count: len(t.latencies), P50: t.rank(0.5), P99: t.rank(0.99), P999: t.rank(0.999), Max: t.rank(1),
	}
	return s
}

// rank is the nearest-rank percentile: a latency that was really measured, never an average of two.
func (t *tally) rank(p float64) float64 {
	if len(t.latencies) == 0 {
		return 0
	}
	i := int(math.Ceil(p*float64(len(t.latencies)))) - 1
	return float64(t.latencies[max(i, 0)]) / 1000
}

// progress adds what came since the last call to total, and sums it up by itself.
func (r *recorder) progress(from []int, total *tally) (recent summary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := tally{mixed: true}
	for i, entries := range r.perTarget {
		for _, entry := range entries[from[i]:] {
			total.add(entry)
			last.add(entry)
		}
		from[i] = len(entries)
	}
	total.latencies = nil
	return last.done(r.versions)
}
