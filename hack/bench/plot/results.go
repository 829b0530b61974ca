package main

// results are as much of results.json as is drawn.
type results struct {
	Throughput []workload `json:"throughput"`
	Unlimited  []workload `json:"unlimited"`
	Burst      *burst     `json:"burst"`
	Latency    []latency  `json:"latency"`
}

type series struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

type workload struct {
	Name              string    `json:"name"`
	Connections       int       `json:"connections"`
	Controllers       bool      `json:"controllers"`
	AcknowledgedRatio series    `json:"acknowledgedRatio"`
	CommittedRatio    series    `json:"committedRatio"`
	Curve             []float64 `json:"curve"`
}

type burst struct {
	Seconds  float64 `json:"seconds"`
	Timeline []struct {
		Second       int `json:"second"`
		Acknowledged int `json:"acknowledged"`
		TryAgain     int `json:"tryAgain"`
		Failed       int `json:"failed"`
		Records      int `json:"records"`
	} `json:"timeline"`
	Outages []struct {
		What string  `json:"what"`
		From float64 `json:"from"`
		To   float64 `json:"to"`
	} `json:"outages"`
}

type latency struct {
	Name  string    `json:"name"`
	Share float64   `json:"share"`
	Curve []float64 `json:"curve"`
}
