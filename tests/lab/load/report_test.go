package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// history builds a recorder by hand: one request per entry, at a second, with a latency in ms.
func history(opts *options) *recorder {
	opts.targets = []*target{{name: "one"}, {name: "two"}}
	start := time.UnixMilli(1_700_000_000_000)
	r := newRecorder(start, opts.targets)
	add := func(target int, k kind, second float64, ms int, version string, o outcome) {
		due := start.Add(time.Duration(second * float64(time.Second)))
		done := due.Add(time.Duration(ms) * time.Millisecond)
		res := result{outcome: o, version: version, answered: done, ended: done}
		if o != ok {
			res.err = io.EOF
		}
		r.add(target, k, due, due, res)
	}
	for i := range 100 {
		add(0, newGet, float64(i)/10, i+1, "1.0.0", ok)
	}
	add(0, slow, 5, 3000, "1.0.0", ok)
	add(1, keepPost, 5, 7, "2.0.0", ok)
	add(1, keepPost, 6, 7, "", eof)
	r.end = start.Add(11 * time.Second)
	return r
}

func TestReport(t *testing.T) {
	marks := filepath.Join(t.TempDir(), "marks")
	lines := `{"name": "swap one", "start": 1700000005.0, "end": 1700000005.95, "target": "one"}

{"name": "swap all", "start": 1700000006, "end": 1700000007.05}
{"name": "never ended", "start": 1700000009.95}
`
	if err := os.WriteFile(marks, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	opts := options{rate: 10, marksFile: marks}
	rep := newReport(opts, history(&opts))

	all := rep.Total
	if all.Sent != 103 || all.Failed != 1 || all.Failures["eof"] != 1 || all.Versions["1.0.0"] != 101 {
		t.Errorf("total %+v", all)
	}
	if got := all.Latency; got != (percentiles{Count: 101, P50: 50, P99: 99, P999: 100, Max: 100}) {
		t.Errorf("latency without what is slow on purpose: %+v", got)
	}
	if rep.Kinds["slow"].Latency.Max != 3000 || rep.Targets["two"].Kinds["keep-post"].Sent != 2 {
		t.Errorf("kinds %+v", rep.Kinds)
	}
	for i, want := range []struct {
		sent, failed int
		max          float64
	}{
		{11, 0, 60}, // ten requests of the mark, the slow one; the one before was answered at 4.95
		{13, 1, 71}, // eleven, the slow one, the failed one
		{1, 0, 100},
	} {
		got := rep.Marks[i]
		if got.Sent != want.sent || got.Failed != want.failed || got.Latency.Max != want.max {
			t.Errorf("%s: %+v", got.Name, got.summary)
		}
	}
	if rep.Before.Sent != 50 || rep.After.Sent != 0 || rep.Outside.Sent != 103-10-13-1 {
		t.Errorf("before %d, after %d, outside %d", rep.Before.Sent, rep.After.Sent, rep.Outside.Sent)
	}

	file := filepath.Join(t.TempDir(), "report.json")
	if err := rep.write(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(text, &back); err != nil || back.Marks[1].Failed != 1 {
		t.Errorf("%v %+v", err, back.Marks)
	}
	rep.print(t.Output())
}

func TestBadMarksDoNotCostTheReport(t *testing.T) {
	marks := filepath.Join(t.TempDir(), "marks")
	text := "{\"name\": \"good\", \"start\": 1700000001, \"end\": 1700000002}\nnot json\n{\"name\": \"\", \"start\": 1}\n"
	if err := os.WriteFile(marks, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	opts := options{rate: 10, marksFile: marks}
	rep := newReport(opts, history(&opts))
	if len(rep.Marks) != 1 || !strings.Contains(rep.MarksError, "line 2") || !strings.Contains(rep.MarksError, "line 3") {
		t.Errorf("%+v %s", rep.Marks, rep.MarksError)
	}
	opts.marksFile += ".missing"
	if rep = newReport(opts, history(&opts)); rep.MarksError == "" || rep.Total.Sent != 103 {
		t.Errorf("a missing file went unnoticed: %+v", rep)
	}
}

func TestBadArguments(t *testing.T) {
	good := []string{"-url", "http://127.0.0.1:1/"}
	if _, err := parse(good, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]string{
		{}, {"-url", "https://127.0.0.1/"}, {"-url", "127.0.0.1:80"}, {"-url", "a=http://127.0.0.1", "-url", "a=http://127.0.0.2"},
		{"-rate", "0"}, {"-rate", "NaN"}, {"-rate", "fast"}, {"-mix", "new-get"}, {"-mix", "put=1"}, {"-mix", "slow=-1"},
		{"-mix", "slow=0"}, {"-timeout", "0s"}, {"-duration", "-1s"}, {"-max-in-flight", "0"}, {"-stream-ms", "-1"},
		{"-json", "/no/such/directory/report.json"}, {"surplus"},
	} {
		args := bad
		if len(bad) > 0 && bad[0] != "-url" {
			args = append(append([]string{}, good...), bad...)
		}
		if _, err := parse(args, io.Discard); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: want one line, got %v", args, err)
		}
	}
}

func TestTheMixIsSpreadEvenly(t *testing.T) {
	round, err := parseMix(defaultMix)
	if err != nil {
		t.Fatal(err)
	}
	var counts [kindCount]int
	for _, k := range round {
		counts[k]++
	}
	if counts != [kindCount]int{newGet: 40, newPost: 20, keepGet: 8, keepPost: 30, slow: 1, stream: 1} {
		t.Errorf("counts %v", counts)
	}
	for i := range round {
		if i+3 < len(round) && round[i] == round[i+1] && round[i] == round[i+2] && round[i] == round[i+3] {
			t.Errorf("a burst of %s at %d", kindNames[round[i]], i)
		}
	}
}

func TestTheRateIsKept(t *testing.T) {
	rep := load(t, "-url", "a="+rawServer(t, serveHello), "-url", "b="+rawServer(t, serveHello), "-rate", "300", "-duration", "1s",
		"-mix", "keep-get=1,new-post=1")
	if rep.Targets["a"].Total.Sent != 300 || rep.Targets["b"].Total.Sent != 300 || rep.Total.Versions["1.0.0"] != 600 {
		t.Errorf("%+v", rep.Total)
	}
}
