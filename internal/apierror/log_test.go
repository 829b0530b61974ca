package apierror_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/laidoulaile/channel-operator/internal/apierror"
)

// early is a logger that somebody made before anybody said where to log.
var early = ctrl.Log.WithName("early").WithValues("key", "value")

// processLog is where the process's logger writes: nowhere, or where a test says.
type processLog struct{ to atomic.Pointer[bytes.Buffer] }

func (p *processLog) Write(line []byte) (int, error) {
	if to := p.to.Load(); to != nil {
		return to.Write(line)
	}
	return len(line), nil
}

var process processLog

// The line that is named first is that which logged, whichever way the logger came there.
func TestTheFirstFrameIsWhoLogged(t *testing.T) {
	var written bytes.Buffer
	process.to.Store(&written)
	defer process.to.Store(nil)
	own := apierror.Logger(zap.New(zap.WriteTo(&written), zap.UseDevMode(false)))
	for name, log := range map[string]logr.Logger{
		"as made": own, "named": own.WithName("a").WithName("b"), "with values": own.WithValues("key", "value"),
		"the process's": ctrl.Log, "the process's, named early": early, "named late": ctrl.Log.WithName("late").WithValues("key", "value"),
		"of a context": ctrl.LoggerFrom(ctrl.LoggerInto(t.Context(), early.WithName("more"))),
	} {
		t.Run(name, func(t *testing.T) {
			for how, logs := range map[string]func() (line string){
				"itself":      func() string { log.Error(io.EOF, "text"); return here() },
				"by name":     func() string { log.WithName("c").WithValues("key", "value").Error(io.EOF, "text"); return here() },
				"for another": func() string { logFor(log); return here() },
			} {
				written.Reset()
				want := logs()
				var line struct{ Stacktrace string }
				if err := json.Unmarshal(written.Bytes(), &line); err != nil {
					t.Fatalf("%s: %v: %s", how, err, written.String())
				}
				if frames := strings.Split(line.Stacktrace, "\n"); len(frames) < 2 || !strings.HasSuffix(frames[1], want) {
					t.Errorf("%s: not %s: %s", how, want, line.Stacktrace)
				}
			}
		})
	}
}

// logFor logs as if who calls it did. Of controller-runtime's own loggers only those made of one by name
// know how.
func logFor(log logr.Logger) { log.WithName("c").WithCallDepth(1).Error(io.EOF, "text") }

// here is the line that calls it.
func here() string {
	_, _, line, _ := runtime.Caller(1)
	return fmt.Sprintf("/log_test.go:%d", line)
}
