package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// run sends until the duration is over or stop says so, then waits for what is in flight.
func run(stop context.Context, opts options) *recorder {
	start := time.Now()
	rec := newRecorder(start, opts.targets)
	var sending, progress sync.WaitGroup
	finished := make(chan struct{})
	if opts.interval > 0 {
		progress.Go(func() { rec.reportProgress(os.Stderr, opts.interval, finished) })
	}
	for i, t := range opts.targets {
		// Targets take turns instead of being hit at the same instant.
		shift := time.Duration(float64(i) / float64(len(opts.targets)) / opts.rate * float64(time.Second))
		sending.Go(func() { drive(stop, opts, i, t, start.Add(shift), rec) })
	}
	sending.Wait()
	rec.end = time.Now()
	close(finished)
	progress.Wait()
	return rec
}

// drive keeps the schedule of one target. The n-th request is due at n/rate whatever became of those before it: a
// server that stalls is charged for every request that came due meanwhile.
func drive(stop context.Context, opts options, index int, t *target, start time.Time, rec *recorder) {
	var flying sync.WaitGroup
	defer flying.Wait()
	slots := make(chan struct{}, opts.inFlight)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		after := time.Duration(float64(n) / opts.rate * float64(time.Second))
		if opts.duration > 0 && after >= opts.duration {
			return // what came due before is sent, however late
		}
		due := start.Add(after)
		timer.Reset(time.Until(due))
		select {
		case <-stop.Done():
			return
		case <-timer.C:
		}
		slots <- struct{}{}
		k := opts.mix[n%len(opts.mix)]
		flying.Go(func() {
			sent := time.Now()
			res := t.send(k)
			rec.add(index, k, due, sent, res)
			<-slots
		})
	}
}

func (r *recorder) reportProgress(out io.Writer, interval time.Duration, finished <-chan struct{}) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	from := make([]int, len(r.perTarget))
	total := tally{mixed: true}
	for {
		select {
		case <-finished:
			return
		case <-tick.C:
			recent := r.progress(from, &total)
			fmt.Fprintf(out, "load %4.0fs  sent %d  failed %d  late %d  p99 %.1f ms  %s\n", time.Since(r.start).Seconds(),
				total.Sent, total.Failed, total.Late, recent.Latency.P99, versionsText(recent.Versions))
		}
	}
}
