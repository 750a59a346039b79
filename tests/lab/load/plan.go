package main

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// kind is a way to send a request.
type kind uint8

const (
	newGet   kind = iota // a connection of its own
	newPost              //
	keepGet              // a kept connection where one is free
	keepPost             //
	slow                 // takes long on purpose, on a connection of its own
	stream               // a long-lived answer, on a connection of its own
	kindCount
)

var kindNames = [kindCount]string{"new-get", "new-post", "keep-get", "keep-post", "slow", "stream"}

// mix is one round of kinds in the order they are sent.
type mix []kind

func parseMix(text string) (mix, error) {
	var weights [kindCount]int
	total := 0
	for _, part := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		k, known := kindNamed(name)
		weight, err := strconv.Atoi(value)
		if !known || err != nil || weight < 0 || weight > 10_000 {
			return nil, fmt.Errorf("-mix %q: want kind=weight, kinds are %s", part, strings.Join(kindNames[:], ", "))
		}
		total += weight - weights[k]
		weights[k] = weight
	}
	if total == 0 {
		return nil, fmt.Errorf("-mix %q: all weights are 0", text)
	}
	return interleave(weights, total), nil
}

func kindNamed(name string) (kind, bool) {
	for k, known := range kindNames {
		if name == known {
			return kind(k), true
		}
	}
	return 0, false
}

// interleave spreads the kinds evenly over the round (smooth weighted round robin): no bursts of one kind.
func interleave(weights [kindCount]int, total int) mix {
	round := make(mix, 0, total)
	var credit [kindCount]int
	for range total {
		best := kind(0)
		for k := range kindCount {
			credit[k] += weights[k]
			if credit[k] > credit[best] {
				best = k
			}
		}
		credit[best] -= total
		round = append(round, best)
	}
	return round
}

func parseTargets(urls []string, opts options) ([]*target, error) {
	if len(urls) == 0 {
		return nil, fmt.Errorf("-url is missing")
	}
	var targets []*target
	seen := map[string]bool{}
	for _, text := range urls {
		name, address := "", text
		if before, after, found := strings.Cut(text, "="); found && !strings.Contains(before, "://") {
			name, address = before, after
		}
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" || u.Hostname() == "" {
			return nil, fmt.Errorf("-url %q: want [name=]http://host[:port][/path]", text)
		}
		if name == "" {
			name = u.Host
		}
		if seen[name] {
			return nil, fmt.Errorf("-url %q: two targets are named %q", text, name)
		}
		seen[name] = true
		// Resolved once, to one address: a dialer that tries a second one after a failure would hide the failure.
		port := u.Port()
		if port == "" {
			port = "80"
		}
		address, err = resolve(net.JoinHostPort(u.Hostname(), port))
		if err != nil {
			return nil, fmt.Errorf("-url %q: %w", text, err)
		}
		targets = append(targets, newTarget(name, u, address, opts))
	}
	return targets, nil
}

func resolve(hostPort string) (string, error) {
	addr, err := net.ResolveTCPAddr("tcp", hostPort)
	if err != nil {
		return "", err
	}
	return addr.String(), nil
}
