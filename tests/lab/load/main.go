// Command load sends requests at a fixed rate and says what became of every one of them. It never repeats a request and
// never waits for an answer before it sends the next, so what a release loses or delays shows up in its report.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	exitFailed   = 1
	exitBadInput = 2
	defaultMix   = "new-get=40,new-post=20,keep-post=30,keep-get=8,slow=1,stream=1"
)

type options struct {
	targets   []*target
	rate      float64
	mix       mix
	slowFor   time.Duration
	streamFor time.Duration
	duration  time.Duration
	timeout   time.Duration
	maxIdle   time.Duration
	inFlight  int
	interval  time.Duration
	jsonFile  string
	marksFile string
}

func main() {
	opts, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "load: %v\n", err)
		os.Exit(exitBadInput)
	}
	// A signal ends the sending; what is in flight is still awaited and the report written.
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	results := run(stop, opts)
	rep := newReport(opts, results)
	rep.print(os.Stdout)
	if opts.jsonFile != "" {
		if err := rep.write(opts.jsonFile); err != nil {
			fmt.Fprintf(os.Stderr, "load: %v\n", err)
			os.Exit(exitFailed)
		}
	}
}

func parse(args []string, usage io.Writer) (options, error) {
	var opts options
	var urls []string
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.Func("url", "`[name=]URL` to send to, http only; repeat it for several targets", func(value string) error {
		urls = append(urls, value)
		return nil
	})
	flags.Float64Var(&opts.rate, "rate", 100, "requests per second to each target")
	mixText := flags.String("mix", defaultMix, "weights of the kinds of request")
	slowMS := flags.Int("slow-ms", 500, "how long a slow request asks to take")
	streamMS := flags.Int("stream-ms", 3000, "how long the client reads a stream before it leaves")
	flags.DurationVar(&opts.duration, "duration", 0, "how long to send; 0 is until SIGINT or SIGTERM")
	flags.DurationVar(&opts.timeout, "timeout", 5*time.Second, "for one request, and between two events of a stream")
	flags.DurationVar(&opts.maxIdle, "max-idle", 500*time.Millisecond,
		"close a kept connection that idled this long instead of using it; 0 is never")
	flags.IntVar(&opts.inFlight, "max-in-flight", 1024, "requests in flight to each target; above it requests go out late")
	flags.DurationVar(&opts.interval, "interval", 5*time.Second, "between two progress lines on stderr; 0 is none")
	flags.StringVar(&opts.jsonFile, "json", "", "write the report to this `file`")
	flags.StringVar(&opts.marksFile, "marks", "", "at the end, read marks (JSON lines: name, start, end, target) from this `file`")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	opts.slowFor = time.Duration(*slowMS) * time.Millisecond
	opts.streamFor = time.Duration(*streamMS) * time.Millisecond

	if flags.NArg() > 0 {
		return opts, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err := opts.check(); err != nil {
		return opts, err
	}
	var err error
	if opts.mix, err = parseMix(*mixText); err != nil {
		return opts, err
	}
	opts.targets, err = parseTargets(urls, opts)
	return opts, err
}

func (o options) check() error {
	switch {
	case !(o.rate > 0 && o.rate <= 100_000):
		return fmt.Errorf("-rate %g: want more than 0, up to 100000", o.rate)
	case o.slowFor < 0 || o.streamFor < 0:
		return errors.New("-slow-ms and -stream-ms: want 0 or more")
	case o.duration < 0 || o.interval < 0 || o.maxIdle < 0:
		return errors.New("-duration, -interval and -max-idle: want 0 or more")
	case o.timeout <= 0:
		return errors.New("-timeout: want more than 0")
	case o.inFlight < 1:
		return errors.New("-max-in-flight: want at least 1")
	}
	if o.jsonFile != "" {
		if _, err := os.Stat(filepath.Dir(o.jsonFile)); err != nil {
			return fmt.Errorf("-json: %w", err) // now, not after an hour of load
		}
	}
	return nil
}
