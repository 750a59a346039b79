package main

import (
	"os"
	"runtime/debug"
)

// Set by the build:
//
//	go build -ldflags "-X main.version=1.4.0 -X main.commit=3f1c2a9 -X main.built=2025-11-21T09:30:00Z"
var (
	version = "dev"
	commit  = ""
	built   = ""
)

// buildInfo is what /version answers. With the pid it tells two overlapping processes apart.
type buildInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Built   string `json:"built"`
	PID     int    `json:"pid"`
}

func thisBuild() buildInfo {
	return buildInfo{
		Version: version,
		Commit:  firstOf(commit, vcs("vcs.revision"), "unknown"),
		Built:   firstOf(built, vcs("vcs.time"), "unknown"),
		PID:     os.Getpid(),
	}
}

// vcs reads what `go build` stamps into a binary by itself inside a git checkout.
func vcs(key string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == key {
			return setting.Value
		}
	}
	return ""
}

func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
