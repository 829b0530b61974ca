package main

// Results are all figures of one run: what results.json holds and the report is made from.
type Results struct {
	Machine Machine `json:"machine"`
	Rounds  int     `json:"rounds"`
	// Quick: a smoke run, whose figures mean nothing.
	Quick    bool    `json:"quick,omitempty"`
	Sections []int   `json:"sections"`
	Seconds  float64 `json:"seconds"`
	Plan     Plan    `json:"plan"`

	Ceilings   []Ceiling   `json:"ceilings,omitempty"`
	Throughput []Workload  `json:"throughput,omitempty"`
	Unlimited  []Unlimited `json:"unlimited,omitempty"`
	Burst      *Burst      `json:"burst,omitempty"`
	Latency    []Latency   `json:"latency,omitempty"`
	Size       []Size      `json:"size,omitempty"`
}

// Plan is how long things were measured, each round.
type Plan struct {
	// JudgedSeconds where a standby has a rate to reach, and for its ceilings, RawSeconds for each other
	// ceiling, LoadSeconds for each kind of push, ManySeconds where 256
	// connections push it, SettledSeconds where statuses are waited for; MostNew objects are made at most.
	JudgedSeconds  float64 `json:"judgedSeconds"`
	RawSeconds     float64 `json:"rawSeconds"`
	LoadSeconds    float64 `json:"loadSeconds"`
	ManySeconds    float64 `json:"manySeconds"`
	SettledSeconds float64 `json:"settledSeconds"`
	MostNew        int     `json:"mostNew"`

	UnlimitedSeconds float64 `json:"unlimitedSeconds"`
	LatencySeconds   float64 `json:"latencySeconds"`
}

// Ceiling is what a plain client reaches, with nothing beside it but the control plane.
type Ceiling struct {
	Name string `json:"name"`
	// PerSecond is how many were done; P50 and P99 are of one, in milliseconds.
	PerSecond Series `json:"perSecond"`
	P50       Series `json:"p50"`
	P99       Series `json:"p99"`
	// Refused by the API server (conflicts), in all rounds.
	Refused int `json:"refused,omitempty"`
}

// Workload is pushes of one kind through one manager.
type Workload struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"`
	// Controllers: the manager also asks the platform and writes statuses. Else it is a
	// standby: it receives and records.
	Controllers bool `json:"controllers,omitempty"`

	// Acknowledged per second while pushing; Committed are those of them that were on
	// their object before the reply, not in the journal.
	Acknowledged Series `json:"acknowledged"`
	Committed    Series `json:"committed"`
	// Settled per second, with controllers: from the first push until every status says
	// what was pushed.
	Settled Series `json:"settled,omitzero"`
	// Ceiling names what it is compared with, measured just before in the same round.
	Ceiling string `json:"ceiling"`
	// Ratios of the three to the ceiling, round by round.
	AcknowledgedRatio Series `json:"acknowledgedRatio"`
	CommittedRatio    Series `json:"committedRatio"`
	SettledRatio      Series `json:"settledRatio,omitzero"`

	// Reply times in milliseconds.
	P50 Series `json:"p50"`
	P99 Series `json:"p99"`
	Max Series `json:"max"`
	// Curve is the distribution of the reply times of the last round.
	Curve []float64 `json:"curve,omitempty"`

	// Writes of products and orders that the API server took for one acknowledged push,
	// status writes included; Requests are all that were tried; Events are written beside
	// them. ChannelWrites are those of the Channel, in all rounds.
	Writes   Series `json:"writes"`
	Requests Series `json:"requests"`
	Events   Series `json:"events"`

	ChannelWrites int `json:"channelWrites"`
	// Journal is the share of the acknowledgements that came from the journal.
	Journal Series `json:"journal"`
	// Drain is how many seconds after the last reply the journal was empty.
	Drain Series `json:"drain"`

	TryAgain int `json:"tryAgain"`
	Failed   int `json:"failed"`
	// Lost were acknowledged and are not on their object after the drain; Unsettled are
	// on it and their status does not say so.
	Lost      int `json:"lost"`
	Unsettled int `json:"unsettled,omitempty"`
	// Told is what Lost is of, in all rounds.
	Told Told `json:"told"`
}

// Told is what was acknowledged, and so is looked for.
type Told struct {
	// Changes of products. Newest of them are the last of their product in a measurement, and
	// looked for: of the others nothing is left on an object, for a newer one takes their place.
	Changes int `json:"changes"`
	Newest  int `json:"newest"`
	// Messages about orders: each is looked for.
	Messages int `json:"messages"`
}

// Superseded are the changes that a newer one was acknowledged after.
func (t Told) Superseded() int { return t.Changes - t.Newest }

func (t *Told) add(more Told) {
	t.Changes += more.Changes
	t.Newest += more.Newest
	t.Messages += more.Messages
}

// Unlimited is as many pushes as the connections carry.
type Unlimited struct {
	Workload
	// Products is how many products the pushes are about, and Orders how many orders at a time.
	Products int `json:"products"`
	Orders   int `json:"orders"`
}

// Burst is far more than can be written, with the API server failing meanwhile.
type Burst struct {
	// CeilingPerSecond of distinct patches just before; OfferedPerSecond is ten times that.
	CeilingPerSecond float64 `json:"ceilingPerSecond"`
	OfferedPerSecond float64 `json:"offeredPerSecond"`
	Connections      int     `json:"connections"`
	// Seconds is how long pushes were offered.
	Seconds float64 `json:"seconds"`
	// Offered were due within the time; Unsent of them found no free connection.
	Offered      int    `json:"offered"`
	Unsent       int    `json:"unsent"`
	Acknowledged int    `json:"acknowledged"`
	TryAgain     int    `json:"tryAgain"`
	Failed       int    `json:"failed"`
	Problem      string `json:"problem,omitempty"`
	Journal      int    `json:"journal"`
	Lost         int    `json:"lost"`
	// Told is what Lost is of.
	Told     Told      `json:"told"`
	SetAside int       `json:"setAside"`
	Reply    Quantiles `json:"reply"`
	// DrainSeconds from the end of the burst until the journal was empty; Drained is false
	// if that did not happen within the time allowed.
	DrainSeconds float64  `json:"drainSeconds"`
	Drained      bool     `json:"drained"`
	MostRecords  int      `json:"mostRecords"`
	Timeline     []Moment `json:"timeline"`
	Outages      []Outage `json:"outages"`
}

// Moment is one second of a burst.
type Moment struct {
	Second       int `json:"second"`
	Acknowledged int `json:"acknowledged"`
	TryAgain     int `json:"tryAgain"`
	Failed       int `json:"failed"`
	// Records in the journal at the end of it; -1 if the manager did not say.
	Records int `json:"records"`
}

// Outage of the API server, in seconds from the start of the burst. One that was killed is out
// until it says that it is ready again; Again is when it was started for that.
type Outage struct {
	What  string  `json:"what"`
	From  float64 `json:"from"`
	Again float64 `json:"again,omitempty"`
	To    float64 `json:"to"`
}

// Latency is from when a push was due to be sent until a watch shows its object Ready with
// that change observed.
type Latency struct {
	Name string `json:"name"`
	// Share of the ceiling that was offered, and the ceiling it is of.
	Share            float64 `json:"share"`
	Ceiling          string  `json:"ceiling"`
	CeilingPerSecond Series  `json:"ceilingPerSecond"`
	OfferedPerSecond Series  `json:"offeredPerSecond"`
	P50              Series  `json:"p50"`
	P99              Series  `json:"p99"`
	Max              Series  `json:"max"`
	// Curve is the distribution in the last round.
	Curve []float64 `json:"curve,omitempty"`
	// Reply times of the pushes themselves.
	ReplyP99 Series `json:"replyP99"`
	Pushes   int    `json:"pushes"`
	// Unanswered pushes were not acknowledged; Late ones were never seen Ready.
	Unanswered int `json:"unanswered"`
	Late       int `json:"late"`
}

// Size is a manager with many products.
type Size struct {
	Products int `json:"products"`
	// StatusBytes of one product, as JSON; EtcdBytes is what one object takes in etcd.
	StatusBytes int     `json:"statusBytes"`
	EtcdBytes   float64 `json:"etcdBytes"`

	// Seconds from the start of the process.
	ReadySeconds float64 `json:"readySeconds"`
	FirstReceipt float64 `json:"firstReceipt"`
	// LeadSeconds is until it leads, as its lease says: until its caches are filled.
	LeadSeconds float64 `json:"leadSeconds"`
	// PassSeconds is until every product was looked at once, without a question.
	PassSeconds float64 `json:"passSeconds"`
	PassWrites  int     `json:"passWrites"`

	// LeaderSynced is from leadership, as the lease says, until a push shows that is sent when
	// the lease is seen.
	LeaderSynced float64 `json:"leaderSynced"`
	// StandbySynced is the same for a push that it had received before.
	StandbySynced float64 `json:"standbySynced"`

	// Resident memory in MiB: after the first pass, after the resync, and the most there ever was.
	PassMiB   float64 `json:"passMiB"`
	ResyncMiB float64 `json:"resyncMiB"`
	PeakMiB   float64 `json:"peakMiB"`

	// Resynced products were asked for again, all that there are if there was time enough;
	// ResyncWrites is what that cost, and must be 0.
	Resynced      int     `json:"resynced"`
	ResyncSeconds float64 `json:"resyncSeconds"`
	ResyncWrites  int     `json:"resyncWrites"`
}
