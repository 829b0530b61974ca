package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// ports of one cluster; they stay its own across restarts.
type ports struct {
	EtcdClient int `json:"etcdClient"`
	EtcdPeer   int `json:"etcdPeer"`
	APIServer  int `json:"apiServer"`
}

func (p ports) all() []int { return []int{p.EtcdClient, p.EtcdPeer, p.APIServer} }

// The range ports are picked from, as far as it lies below the ephemeral one. A
// client that dials a dead port among the ephemeral ones can be given that very port
// for its own end, connect to itself, and so keep the server from coming back.
const (
	lowestPort  = 20000
	highestPort = 32000
	fewestPorts = 1000
)

const ephemeralRangeFile = "/proc/sys/net/ipv4/ip_local_port_range"

// portRange is [low, high), below firstEphemeral where that leaves enough.
func portRange(firstEphemeral int) (low, high int) {
	high = min(highestPort, firstEphemeral)
	if high-lowestPort >= fewestPorts {
		return lowestPort, high
	}
	if low = 1024; high-low >= fewestPorts {
		return low, high
	}
	return lowestPort, highestPort
}

// firstEphemeralPort reads the kernel's setting; elsewhere than on Linux, where the
// file is missing, the ephemeral ports lie above our range anyhow.
func firstEphemeralPort(file string) int {
	data, err := os.ReadFile(file)
	if err != nil {
		return highestPort
	}
	var first int
	if _, err := fmt.Sscan(string(data), &first); err != nil {
		return highestPort
	}
	return first
}

// pickPorts finds free ones, holding each until all are found so that they differ.
// It starts at random, so that two clusters made at one time seldom meet.
func pickPorts() (ports, error) {
	low, high := portRange(firstEphemeralPort(ephemeralRangeFile))
	var picked []int
	for i, start := range rand.Perm(high - low) {
		if i > 2000 {
			break
		}
		listener, err := listen(low + start)
		if err != nil {
			continue
		}
		defer listener.Close()
		if picked = append(picked, low+start); len(picked) == 3 {
			return ports{EtcdClient: picked[0], EtcdPeer: picked[1], APIServer: picked[2]}, nil
		}
	}
	return ports{}, fmt.Errorf("no three free ports on loopback between %d and %d", low, high)
}

// loadPorts are those the cluster had, or new ones.
func loadPorts(dir string) (ports, error) {
	file := filepath.Join(dir, "ports.json")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return newPorts(file)
	}
	if err != nil {
		return ports{}, err
	}
	var known ports
	if err := json.Unmarshal(data, &known); err != nil {
		return ports{}, fmt.Errorf("%s: %w", file, err)
	}
	return known, nil
}

func newPorts(file string) (ports, error) {
	picked, err := pickPorts()
	if err != nil {
		return ports{}, err
	}
	data, err := json.Marshal(picked)
	if err != nil {
		return ports{}, err
	}
	return picked, writeFile(file, append(data, '\n'))
}

// waitFree gives the children of a parent that was just killed a moment to go.
func waitFree(p ports, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for _, port := range p.all() {
		for {
			listener, err := listen(port)
			if err == nil {
				_ = listener.Close()
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("port %d of this cluster is taken by another process: %w (end it, or remove ports.json for new ports)", port, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp4", net.JoinHostPort(loopback, strconv.Itoa(port)))
}
