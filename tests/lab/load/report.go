package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mark names a stretch of time, such as one swap. End is 0 for one that never came to its end.
type mark struct {
	Name   string  `json:"name"`
	Start  float64 `json:"start"`
	End    float64 `json:"end"`
	Target string  `json:"target,omitempty"`
}

type markReport struct {
	mark
	summary
}

type targetReport struct {
	URL   string             `json:"url"`
	Total summary            `json:"total"`
	Kinds map[string]summary `json:"kinds"`
}

type report struct {
	Schema     int                     `json:"schema"`
	Started    float64                 `json:"started"`
	Ended      float64                 `json:"ended"`
	Rate       float64                 `json:"rate"`
	Total      summary                 `json:"total"`
	Targets    map[string]targetReport `json:"targets"`
	Kinds      map[string]summary      `json:"kinds"`
	Samples    []failureSample         `json:"failure_samples"`
	Marks      []markReport            `json:"marks"`
	Outside    *summary                `json:"outside_marks,omitempty"`
	Before     *summary                `json:"before_marks,omitempty"`
	After      *summary                `json:"after_marks,omitempty"`
	MarksError string                  `json:"marks_error,omitempty"`
}

func newReport(opts options, r *recorder) report {
	rep := report{
		Schema: 1, Started: unix(r.start), Ended: unix(r.end), Rate: opts.rate,
		Targets: map[string]targetReport{}, Kinds: map[string]summary{}, Samples: r.samples, Marks: []markReport{},
	}
	if rep.Samples == nil {
		rep.Samples = []failureSample{}
	}
	rep.Total = r.sum(true, func(int, record) bool { return true })
	for k, name := range kindNames {
		ofKind := func(_ int, entry record) bool { return entry.kind == kind(k) }
		if s := r.sum(false, ofKind); s.Sent > 0 {
			rep.Kinds[name] = s
		}
	}
	for i, t := range r.targets {
		of := targetReport{URL: t.url, Kinds: map[string]summary{}}
		of.Total = r.sum(true, func(target int, _ record) bool { return target == i })
		for k, name := range kindNames {
			ofKind := func(target int, entry record) bool { return target == i && entry.kind == kind(k) }
			if s := r.sum(false, ofKind); s.Sent > 0 {
				of.Kinds[name] = s
			}
		}
		rep.Targets[t.name] = of
	}
	if opts.marksFile != "" {
		marks, err := readMarks(opts.marksFile)
		if err != nil {
			rep.MarksError = err.Error() // the load was real: report it without the marks that could not be read
		}
		rep.addMarks(r, marks)
	}
	return rep
}

func (r *recorder) sum(mixed bool, include func(target int, entry record) bool) summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := tally{mixed: mixed}
	for target, entries := range r.perTarget {
		for _, entry := range entries {
			if include(target, entry) {
				t.add(entry)
			}
		}
	}
	return t.done(r.versions)
}

// addMarks reports each mark and what lies outside of all of them. A request belongs to every mark it was in flight in.
func (rep *report) addMarks(r *recorder, marks []mark) {
	if len(marks) == 0 {
		return
	}
	begin, end := rep.Ended, 0.0
	for i, m := range marks {
		if m.End == 0 {
			marks[i].End = rep.Ended
		}
		begin, end = min(begin, m.Start), max(end, marks[i].End)
	}
	span := func(entry record) (float64, float64) {
		due := rep.Started + float64(entry.due)*1e-5
		return due, due + float64(entry.took)*1e-6
	}
	within := func(m mark, target int, entry record) bool {
		from, to := span(entry)
		return (m.Target == "" || m.Target == r.targets[target].name) && from <= m.End && to >= m.Start
	}
	for _, m := range marks {
		s := r.sum(true, func(target int, entry record) bool { return within(m, target, entry) })
		rep.Marks = append(rep.Marks, markReport{m, s})
	}
	outside := r.sum(true, func(target int, entry record) bool {
		return !slices.ContainsFunc(marks, func(m mark) bool { return within(m, target, entry) })
	})
	before := r.sum(true, func(_ int, entry record) bool { _, to := span(entry); return to < begin })
	after := r.sum(true, func(_ int, entry record) bool { from, _ := span(entry); return from > end })
	rep.Outside, rep.Before, rep.After = &outside, &before, &after
}

func readMarks(path string) ([]mark, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var marks []mark
	var problems []error
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		var m mark
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			problems = append(problems, fmt.Errorf("%s line %d: %w", path, n, err))
		} else if m.Name == "" || m.Start <= 0 || (m.End != 0 && m.End < m.Start) {
			problems = append(problems, fmt.Errorf("%s line %d: want a name, a start, and an end after it", path, n))
		} else {
			marks = append(marks, m)
		}
	}
	return marks, errors.Join(append(problems, lines.Err())...)
}

func (rep report) write(path string) error {
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	if err := os.WriteFile(temporary, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func (rep report) print(out io.Writer) {
	seconds := time.Duration((rep.Ended - rep.Started) * float64(time.Second)).Round(100 * time.Millisecond)
	fmt.Fprintf(out, "%s at %g requests a second to each of %d targets\n", seconds, rep.Rate, len(rep.Targets))
	fmt.Fprintf(out, "%-24s %9s %8s %7s %9s %9s %9s %9s  %s\n", "", "sent", "failed", "late", "p50 ms", "p99 ms", "p99.9", "max", "answered by")
	line := func(name string, s summary) {
		fmt.Fprintf(out, "%-24s %9d %8d %7d %9.1f %9.1f %9.1f %9.1f  %s%s\n", name, s.Sent, s.Failed, s.Late,
			s.Latency.P50, s.Latency.P99, s.Latency.P999, s.Latency.Max, versionsText(s.Versions), failuresText(s.Failures))
	}
	line("all", rep.Total)
	for _, name := range slices.Sorted(maps.Keys(rep.Kinds)) {
		line("  "+name, rep.Kinds[name])
	}
	if len(rep.Targets) > 1 {
		for _, name := range slices.Sorted(maps.Keys(rep.Targets)) {
			line(name, rep.Targets[name].Total)
		}
	}
	for _, m := range rep.Marks {
		line(m.Name, m.summary)
	}
	if rep.Outside != nil {
		line("outside of marks", *rep.Outside)
	}
	if rep.MarksError != "" {
		fmt.Fprintf(out, "marks: %s\n", rep.MarksError)
	}
}

func versionsText(versions map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		parts = append(parts, fmt.Sprintf("%s×%d", name, versions[name]))
	}
	return strings.Join(parts, " ")
}

func failuresText(failures map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(failures)) {
		parts = append(parts, fmt.Sprintf("%s×%d", name, failures[name]))
	}
	if len(parts) == 0 {
		return ""
	}
	return "  failed: " + strings.Join(parts, " ")
}
