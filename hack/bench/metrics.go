package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

// samples are a process's metrics at one moment, by their whole name with labels.
type samples map[string]float64

// parseMetrics reads Prometheus' text format, as far as we need it.
func parseMetrics(text []byte) samples {
	all := samples{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if value, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
				all[line[:at]] = value
			}
		}
	}
	return all
}

// sum adds up the samples of a name that have all the labels, such as `verb="POST"`.
func (s samples) sum(name string, labels ...string) (sum float64, found bool) {
	for key, value := range s {
		base, rest, _ := strings.Cut(key, "{")
		if base != name || !hasAll(rest, labels) {
			continue
		}
		sum, found = sum+value, true
	}
	return sum, found
}

func hasAll(text string, labels []string) bool {
	for _, label := range labels {
		if !strings.Contains("{"+text, ","+label) && !strings.Contains("{"+text, "{"+label) {
			return false
		}
	}
	return true
}

// ofManager reads the manager's metrics.
func (s *stack) ofManager(ctx context.Context) (samples, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return parseMetrics(text), err
}

// gauge reads one of the manager's metrics.
func (s *stack) gauge(ctx context.Context, name string, labels ...string) (float64, error) {
	all, err := s.ofManager(ctx)
	if err != nil {
		return 0, err
	}
	value, found := all.sum(name, labels...)
	if !found {
		return 0, fmt.Errorf("the manager has no metric %s %v", name, labels)
	}
	return value, nil
}

// journalPuts is how many facts this manager has put into its journal.
func (s *stack) journalPuts(ctx context.Context) (int, error) {
	n, err := s.gauge(ctx, "channel_operator_journal_puts_total")
	return int(n), err
}

// requests are what the API server was asked to write.
type requests struct {
	// Writes of our kinds that it took; Refused are the others (not found, conflict, older).
	Writes, Refused int
	// ByKind are the writes of each kind, and Events those of events.
	ByKind map[string]int
	Events int
}

// requestsSoFar reads the API server's own count.
func (a *api) requestsSoFar(ctx context.Context) (requests, error) {
	text, err := a.get(ctx, "/metrics")
	if err != nil {
		return requests{}, err
	}
	return countRequests(parseMetrics(text)), nil
}

func countRequests(all samples) requests {
	r := requests{ByKind: map[string]int{}}
	for key, value := range all {
		name, labels, _ := strings.Cut(key, "{")
		if name != "apiserver_request_total" || !isWrite(labels) {
			continue
		}
		done := strings.Contains(labels, `code="2`)
		switch {
		case strings.Contains(labels, `group="events.k8s.io"`) && done:
			r.Events += int(value)
		case !strings.Contains(labels, `group="`+v1alpha1.GroupName+`"`):
		case done:
			r.Writes += int(value)
			r.ByKind[labelOf(labels, "resource")] += int(value)
		default:
			r.Refused += int(value)
		}
	}
	return r
}

func isWrite(labels string) bool {
	switch labelOf(labels, "verb") {
	case "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION":
		return true
	}
	return false
}

func labelOf(labels, name string) string {
	for part := range strings.SplitSeq(strings.TrimSuffix(labels, "}"), ",") {
		if value, found := strings.CutPrefix(part, name+`="`); found {
			return strings.TrimSuffix(value, `"`)
		}
	}
	return ""
}

// since is what came to it since an earlier count.
func (r requests) since(before requests) requests {
	d := requests{Writes: r.Writes - before.Writes, Refused: r.Refused - before.Refused, Events: r.Events - before.Events, ByKind: map[string]int{}}
	for kind, n := range r.ByKind {
		d.ByKind[kind] = n - before.ByKind[kind]
	}
	return d
}

// memory is a process's resident memory now, and the most it ever was, in MiB.
func memory(pid int) (now, peak float64) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	if _, err := os.Stat(file); err != nil {
		return 0, 0
	}
	read := func(name string) float64 {
		var kib float64
		_, _ = fmt.Sscan(field(file, name), &kib)
		return kib / 1024
	}
	return read("VmRSS"), read("VmHWM")
}
