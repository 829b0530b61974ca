package journal_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/laidoulaile/channel-operator/internal/journal"
)

// BenchmarkPut is what a record of 2 KiB costs when so many put at the same time, on the disk of
// TMPDIR.
func BenchmarkPut(b *testing.B) {
	data := bytes.Repeat([]byte{'d'}, 2048)
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			j := open(b, journal.Options{Dir: b.TempDir(), MaxBytes: 8 << 30})
			left := make(chan int, b.N)
			for i := range b.N {
				left <- i
			}
			close(left)
			b.SetBytes(int64(len(data)))
			b.ResetTimer()
			var group sync.WaitGroup
			for range callers {
				group.Go(func() {
					for i := range left {
						if err := j.Put(b.Context(), fmt.Sprint("object ", i%1000), data); err != nil {
							b.Error(err)
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			b.StopTimer()
		})
	}
}
