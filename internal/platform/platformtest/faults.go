package platformtest

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// FaultKind is what goes wrong. The first group hits questions, the second pushes.
type FaultKind string

// Faults of questions.
const (
	// Status5xx answers with Fault.Status (default 503) and, if set, Fault.RetryAfter.
	Status5xx FaultKind = "Status5xx"
	// Throttle429 answers 429 and, if set, Fault.RetryAfter.
	Throttle429 FaultKind = "Throttle429"
	// Slow answers rightly after Fault.Delay.
	Slow FaultKind = "Slow"
	// Code answers 200 with the platform's failure envelope and Fault.Code.
	Code FaultKind = "Code"
	// DropConnection closes the connection without an answer.
	DropConnection FaultKind = "DropConnection"
	// BadJSON answers 200 with half of a JSON value.
	BadJSON FaultKind = "BadJSON"
	// HTMLPage answers 200 with a web page, as a gateway in between does.
	HTMLPage FaultKind = "HTMLPage"
	// WrongContentType answers rightly, labelled text/html.
	WrongContentType FaultKind = "WrongContentType"
)

// Faults of pushes.
const (
	// Drop loses the push: it is never sent.
	Drop FaultKind = "Drop"
	// Duplicate sends the push and Fault.Copies more of it (default 1), all at once.
	Duplicate FaultKind = "Duplicate"
	// Reorder holds the push until ReleasePushes.
	Reorder FaultKind = "Reorder"
	// LoseReply sends the push and throws the reply away, as if none had come; Fault.Copies
	// is of how many tries (default 1).
	LoseReply FaultKind = "LoseReply"
)

// known reports whether the fake knows the kind.
func (k FaultKind) known() bool {
	return k.onPush() || slices.Contains([]FaultKind{Status5xx, Throttle429, Slow, Code,
		DropConnection, BadJSON, HTMLPage, WrongContentType}, k)
}

// onPush tells the faults of pushes from those of questions.
func (k FaultKind) onPush() bool {
	return k == Drop || k == Duplicate || k == Reorder || k == LoseReply
}

// Fault is one rule of the script. Rules are tried in the order they were injected;
// the first that fits is used.
type Fault struct {
	// Op is the platform's name of the call, or the path tail or the type of the push;
	// empty fits any.
	Op string
	// Times it is used: 0 counts as 1, -1 is until the faults are cleared.
	Times int
	// After lets that many fitting calls pass first.
	After int
	Kind  FaultKind
	// Status of Status5xx; 0 is 503.
	Status int
	// RetryAfter of Status5xx and Throttle429, in whole seconds; 0 sends no header.
	RetryAfter time.Duration
	// Delay of Slow.
	Delay time.Duration
	// Code of Code, such as "9000".
	Code string
	// Copies of Duplicate; tries of LoseReply.
	Copies int
}

// faults is the script.
type faults struct {
	mu    sync.Mutex
	rules []Fault
	down  bool
}

func (s *faults) inject(rule Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rule.Times == 0 {
		rule.Times = 1
	}
	s.rules = append(s.rules, rule)
}

func (s *faults) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.down = nil, false
}

func (s *faults) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// take uses up the first rule that fits; without one it gives the zero Fault.
func (s *faults) take(op string, push bool) Fault {
	return s.takeAny(push, op)
}

// takePush is take for a push, which has two names.
func (s *faults) takePush(path, kind string) Fault { return s.takeAny(true, path, kind) }

func (s *faults) takeAny(push bool, names ...string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down && !push {
		return Fault{Kind: DropConnection}
	}
	for i := range s.rules {
		rule := &s.rules[i]
		if rule.Kind.onPush() != push || (rule.Op != "" && !slices.Contains(names, rule.Op)) {
			continue
		}
		if rule.After > 0 {
			rule.After--
			continue
		}
		taken := *rule
		if rule.Times--; rule.Times == 0 {
			s.rules = slices.Delete(s.rules, i, i+1)
		} else if taken.Times < 0 {
			rule.Times = taken.Times
		}
		return taken
	}
	return Fault{}
}

// answer is an HTTP answer in the making.
type answer struct {
	status      int
	retryAfter  time.Duration
	contentType string
	body        []byte
	abort       bool
	// verdict is what the call log says of it.
	verdict string
}

// send writes the answer, or closes the connection.
func (a answer) send(w http.ResponseWriter) {
	if a.abort {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", a.contentType)
	if a.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(a.retryAfter/time.Second)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// answer is what a fault of the HTTP layer answers; ok is false for the faults that
// need the platform's own dialect or its true answer.
func (f Fault) answer() (a answer, ok bool) {
	a = answer{status: http.StatusOK, contentType: "application/json;charset=UTF-8", retryAfter: f.RetryAfter, verdict: string(f.Kind)}
	switch f.Kind {
	case Status5xx:
		a.status = f.Status
		if a.status == 0 {
			a.status = http.StatusServiceUnavailable
		}
		a.contentType, a.body = "text/plain", []byte(http.StatusText(a.status))
	case Throttle429:
		a.status, a.contentType, a.body = http.StatusTooManyRequests, "text/plain", []byte("slow down")
	case DropConnection:
		a.abort = true
	case BadJSON:
		a.body = []byte(`{"success":true,"code":"2000","data":{`)
	case HTMLPage:
		a.contentType, a.body = "text/html", []byte("<html><body>gateway</body></html>")
	default:
		return answer{}, false
	}
	return a, true
}
