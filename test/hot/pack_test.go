package hot

import (
	"encoding/json"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/laidoulaile/channel-operator/api/v1alpha1"
)

func BenchmarkPack(b *testing.B) {
	var ps v1alpha1.ProductSync
	_ = json.Unmarshal(sample(1), &ps)
	raw, _ := json.Marshal(ps.Status.SKUs)
	b.Run("json", func(b *testing.B) { for b.Loop() { _, _ = json.Marshal(ps.Status.SKUs) } })
	b.Run("s2", func(b *testing.B) { n := 0; for b.Loop() { n = len(s2.Encode(nil, raw)) }; b.ReportMetric(float64(n), "size") })
	b.Run("s2better", func(b *testing.B) { n := 0; for b.Loop() { n = len(s2.EncodeBetter(nil, raw)) }; b.ReportMetric(float64(n), "size") })
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	b.Run("zstd", func(b *testing.B) { n := 0; for b.Loop() { n = len(e.EncodeAll(raw, nil)) }; b.ReportMetric(float64(n), "size") })
	b.Run("unmarshal", func(b *testing.B) { for b.Loop() { var s []v1alpha1.SKU; _ = json.Unmarshal(raw, &s) } })
}
