package apierror

import (
	"slices"

	"github.com/go-logr/logr"
)

// Logger logs as another does, and of errors what Plain leaves of them: also those that are logged by
// what we did not write, such as a controller that failed.
func Logger(log logr.Logger) logr.Logger {
	return logr.New(sink{log.GetSink()}) // New counts the call of the sink within ours
}

type sink struct{ logr.LogSink }

// Info logs what may be shown.
func (s sink) Info(level int, msg string, keysAndValues ...any) {
	s.LogSink.Info(level, msg, shown(keysAndValues)...)
}

// Error logs what may be shown.
func (s sink) Error(err error, msg string, keysAndValues ...any) {
	s.LogSink.Error(Plain(err), msg, shown(keysAndValues)...)
}

// WithValues is the same sink with more to say.
func (s sink) WithValues(keysAndValues ...any) logr.LogSink {
	return sink{s.LogSink.WithValues(shown(keysAndValues)...)}
}

// WithName is the same sink by another name.
func (s sink) WithName(name string) logr.LogSink { return sink{s.LogSink.WithName(name)} }

// WithCallDepth keeps the line that is named that of who logs.
func (s sink) WithCallDepth(depth int) logr.LogSink {
	if deep, ok := s.LogSink.(logr.CallDepthLogSink); ok {
		return sink{deep.WithCallDepth(depth)}
	}
	return s
}

// shown are keys and values of which errors say what may be shown.
func shown(keysAndValues []any) []any {
	all := slices.Clone(keysAndValues)
	for i, value := range all {
		switch value := value.(type) {
		case error:
			all[i] = Plain(value)
		case []error:
			plain := make([]error, len(value))
			for j, err := range value {
				plain[j] = Plain(err)
			}
			all[i] = plain
		}
	}
	return all
}
