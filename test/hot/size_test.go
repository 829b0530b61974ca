package hot

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"math/rand"
	"runtime"
	"testing"
	"time"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"k8s.io/utils/ptr"
)

func sample(i int) []byte {
	r := rand.New(rand.NewSource(int64(i)))
	var ps v1alpha1.ProductSync
	ps.Name = fmt.Sprintf("fliggy-main-%d", i)
	ps.Namespace = "travel"
	ps.UID = "9f0c2a5e-6a0f-4a3e-9a41-8f5a3d2b1c00"
	ps.Labels = map[string]string{v1alpha1.LabelChannel: "fliggy-main", v1alpha1.LabelPlatform: "Fliggy"}
	ps.Spec.ProductID = fmt.Sprint(i)
	ps.Spec.ChannelRef.Name = "fliggy-main"
	ps.Status.Title = fmt.Sprintf("Product %d with some title", i)
	c := &v1alpha1.Calendar{Start: "2026-11-22", Days: 365}
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	base := int64(20000 + r.Intn(100000))
	var last int64
	stock := ""
	for d := range 365 {
		at := day.AddDate(0, 0, d)
		p := base
		if wd := at.Weekday(); wd == 0 || wd == 6 {
			p += 5000
		}
		if p != last {
			c.Prices = append(c.Prices, v1alpha1.CalendarPrice{From: at.Format("2006-01-02"), Amount: p, Market: ptr.To(p + 1000)})
			last = p
		}
		stock += fmt.Sprintf("%d ", r.Intn(30))
	}
	c.Stock = stock
	ps.Status.SKUs = []v1alpha1.SKU{{ID: fmt.Sprint(i), Name: "adult", Calendar: c}}
	raw, _ := json.Marshal(ps)
	return raw
}

func TestSize(t *testing.T) {
	const n = 2000
	heap := func() uint64 { runtime.GC(); var m runtime.MemStats; runtime.ReadMemStats(&m); return m.HeapAlloc }
	before := heap()
	all := make([]*v1alpha1.ProductSync, n)
	for i := range all {
		all[i] = &v1alpha1.ProductSync{}
		_ = json.Unmarshal(sample(i), all[i])
	}
	after := heap()
	t.Logf("typed: %d bytes each, JSON %d", (after-before)/n, len(sample(1)))
	start := time.Now()
	packed := make([][]byte, n)
	size := 0
	w, _ := flate.NewWriter(nil, 1)
	for i := range all {
		raw, _ := json.Marshal(all[i].Status.SKUs)
		var b bytes.Buffer
		w.Reset(&b)
		_, _ = w.Write(raw)
		_ = w.Close()
		packed[i] = bytes.Clone(b.Bytes())
		size += b.Len()
		for j := range all[i].Status.SKUs {
			all[i].Status.SKUs[j].Calendar = nil
		}
	}
	t.Logf("packed %d bytes each, %v each", size/n, time.Since(start)/n)
	t.Logf("live: %d each", (heap()-before)/n)
	runtime.KeepAlive(all)
	runtime.KeepAlive(packed)
}
