// Package loopback is what the local stack, the benchmark and the tests need of this machine's
// loopback: free ports, and whether a server answers. It does not know what listens there.
package loopback

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
)

// Host is where everything listens.
const Host = "127.0.0.1"

// The range ports are picked from, as far as it lies below the ephemeral one. A client that
// dials a dead port among the ephemeral ones can be given that very port for its own end,
// connect to itself, and so keep the server from coming back.
const (
	lowestPort  = 20000
	highestPort = 32000
	fewestPorts = 1000
	// mostTries bound the search where most of the range is taken.
	mostTries = 2000
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

// firstEphemeralPort reads the kernel's setting; elsewhere than on Linux, where the file is
// missing, the ephemeral ports lie above our range anyhow.
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

// FreePorts finds as many ports that nobody listens on, no two alike: each is held until all
// are found. It starts at random, so that two who look at one time seldom meet.
func FreePorts(n int) ([]int, error) {
	low, high := portRange(firstEphemeralPort(ephemeralRangeFile))
	var free []int
	for i, start := range rand.Perm(high - low) {
		if len(free) == n {
			break
		}
		if i > mostTries {
			return nil, fmt.Errorf("no %d free ports on loopback between %d and %d", n, low, high)
		}
		listener, err := net.Listen("tcp4", Address(low+start))
		if err != nil {
			continue
		}
		defer func() { _ = listener.Close() }()
		free = append(free, low+start)
	}
	return free, nil
}

// Address of a port, as host:port.
func Address(port int) string { return net.JoinHostPort(Host, strconv.Itoa(port)) }

// FreeAddresses are FreePorts' addresses.
func FreeAddresses(n int) ([]string, error) {
	ports, err := FreePorts(n)
	if err != nil {
		return nil, err
	}
	addresses := make([]string, 0, n)
	for _, port := range ports {
		addresses = append(addresses, Address(port))
	}
	return addresses, nil
}

// Answers is nil if a GET of the URL is answered 200.
func Answers(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
