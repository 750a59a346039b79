package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

var bucketBounds = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// metrics is what a release is judged by while it soaks: errors and latency. A larger service would use a library.
type metrics struct {
	mu      sync.Mutex
	byCode  map[int]uint64
	buckets [len(bucketBounds)]uint64
	count   uint64
	seconds float64
}

func (m *metrics) observe(code int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byCode == nil {
		m.byCode = map[int]uint64{}
	}
	m.byCode[code]++
	m.count++
	m.seconds += took.Seconds()
	if i, _ := slices.BinarySearch(bucketBounds[:], took.Seconds()); i < len(bucketBounds) {
		m.buckets[i]++
	}
}

func (m *metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	build := thisBuild()
	fmt.Fprintf(w, "# HELP app_info What is running.\n# TYPE app_info gauge\n")
	fmt.Fprintf(w, "app_info{version=%q,commit=%q,built=%q} 1\n", build.Version, build.Commit, build.Built)

	fmt.Fprintf(w, "# HELP http_requests_total Requests answered.\n# TYPE http_requests_total counter\n")
	codes := make([]int, 0, len(m.byCode))
	for code := range m.byCode {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for _, code := range codes {
		fmt.Fprintf(w, "http_requests_total{code=\"%d\"} %d\n", code, m.byCode[code])
	}

	name := "http_request_duration_seconds"
	fmt.Fprintf(w, "# HELP %s Time until the answer began.\n# TYPE %s histogram\n", name, name)
	cumulative := uint64(0)
	for i, bound := range bucketBounds {
		cumulative += m.buckets[i]
		fmt.Fprintf(w, "%s_bucket{le=%q} %d\n", name, strconv.FormatFloat(bound, 'g', -1, 64), cumulative)
	}
	fmt.Fprintf(w, "%s_bucket{le=\"+Inf\"} %d\n%s_sum %g\n%s_count %d\n", name, m.count, name, m.seconds, name, m.count)
}
