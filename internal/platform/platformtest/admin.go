package platformtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// adminMaxBody bounds a control request.
const adminMaxBody = 4 << 20

// control is a control handler with the routes that every fake has, and what adds more.
// allowed checks the base URLs that /aim may name; nil allows any.
func (f *fake[Call]) control(allowed func(base string) error) (*http.ServeMux, func(pattern string, serve func(*http.Request) (any, error))) {
	mux := http.NewServeMux()
	route := func(pattern string, serve func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { answerAdmin(w, r, serve) })
	}
	route("POST /pushes/release", f.adminRelease)
	route("POST /aim", func(r *http.Request) (any, error) { return f.adminAim(r, allowed) })
	route("POST /faults", f.adminFault)
	route("DELETE /faults", func(*http.Request) (any, error) { f.ClearFaults(); return done{}, nil })
	route("POST /down", func(*http.Request) (any, error) { f.Down(); return done{}, nil })
	route("POST /up", func(*http.Request) (any, error) { f.Up(); return done{}, nil })
	route("GET /calls", func(*http.Request) (any, error) {
		return map[string]any{"counts": f.calls.all(), "log": f.CallLog()}, nil
	})
	route("GET /deliveries", func(*http.Request) (any, error) { return f.Deliveries(), nil })
	return mux, route
}

// done is the answer that has nothing to tell.
type done struct{}

// pushed is the answer to a change that has a push.
type pushed struct {
	Push     json.RawMessage `json:"push,omitempty"`
	Delivery *Delivery       `json:"delivery,omitempty"`
}

func answerAdmin(w http.ResponseWriter, r *http.Request, serve func(*http.Request) (any, error)) {
	r.Body = http.MaxBytesReader(w, r.Body, adminMaxBody)
	w.Header().Set("Content-Type", "application/json")
	result, err := serve(r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		result = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(result)
}

// readAdmin decodes a control request strictly; an empty body is an empty object.
func readAdmin(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (f *fake[Call]) adminRelease(r *http.Request) (any, error) {
	var request struct {
		Seed uint64 `json:"seed"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	return f.ReleasePushes(r.Context(), request.Seed), nil
}

func (f *fake[Call]) adminAim(r *http.Request, allowed func(string) error) (any, error) {
	var request struct {
		Base  string `json:"base"`
		Token string `json:"token"`
	}
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	if allowed != nil {
		if err := allowed(request.Base); err != nil {
			return nil, err
		}
	}
	f.AimPushes(request.Base, request.Token)
	return done{}, nil
}

// adminFaultRequest is a Fault with durations as text, such as "1.5s".
type adminFaultRequest struct {
	Op         string    `json:"op"`
	Times      int       `json:"times"`
	After      int       `json:"after"`
	Kind       FaultKind `json:"kind"`
	Status     int       `json:"status"`
	RetryAfter string    `json:"retryAfter"`
	Delay      string    `json:"delay"`
	Code       string    `json:"code"`
	Copies     int       `json:"copies"`
}

func (f *fake[Call]) adminFault(r *http.Request) (any, error) {
	var request adminFaultRequest
	if err := readAdmin(r, &request); err != nil {
		return nil, err
	}
	fault, err := request.fault()
	if err != nil {
		return nil, err
	}
	f.Inject(fault)
	return done{}, nil
}

func (r adminFaultRequest) fault() (Fault, error) {
	if !r.Kind.known() {
		return Fault{}, fmt.Errorf("no such kind of fault: %q", r.Kind)
	}
	fault := Fault{Op: r.Op, Times: r.Times, After: r.After, Kind: r.Kind, Status: r.Status, Code: r.Code, Copies: r.Copies}
	var err1, err2 error
	if r.RetryAfter != "" {
		fault.RetryAfter, err1 = time.ParseDuration(r.RetryAfter)
	}
	if r.Delay != "" {
		fault.Delay, err2 = time.ParseDuration(r.Delay)
	}
	return fault, errors.Join(err1, err2)
}
