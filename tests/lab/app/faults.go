package main

import (
	"math"
	"os"
	"sync/atomic"
	"time"
)

// faults makes a release misbehave on purpose, so that what guards a release can be tested. A real service has none.
type faults struct {
	bootDelay      time.Duration
	neverReady     bool
	unhealthyAfter time.Duration // counted from readiness
	crashAfter     time.Duration // counted from the start of the process
	errorRatio     float64
	slowRatio      float64
	slowBy         time.Duration
}

func (e *environment) faults() faults {
	f := faults{
		bootDelay:      e.duration("APP_BOOT_DELAY", 0),
		neverReady:     e.boolean("APP_NEVER_READY"),
		unhealthyAfter: e.duration("APP_UNHEALTHY_AFTER", never),
		crashAfter:     e.duration("APP_CRASH_AFTER", never),
		errorRatio:     e.ratio("APP_ERROR_RATIO"),
		slowRatio:      e.ratio("APP_SLOW_RATIO"),
		slowBy:         e.milliseconds("APP_SLOW_MS"),
	}
	if (f.slowRatio > 0) != (f.slowBy > 0) {
		e.fail("APP_SLOW_RATIO", os.Getenv("APP_SLOW_RATIO"), "set APP_SLOW_RATIO and APP_SLOW_MS together, both above 0")
	}
	return f
}

// share picks exactly ratio of all calls, evenly spread: a test can rely on the count.
type share struct{ calls atomic.Uint64 }

func (s *share) next(ratio float64) bool {
	n := float64(s.calls.Add(1))
	return math.Floor(n*ratio) > math.Floor((n-1)*ratio)
}
