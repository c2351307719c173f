package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mjl-/mox/dmarcrpt"

	ours "github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/dmarc/report"
	"github.com/smtpguard/smtpguard/auth/dmarc/report/boltstore"
)

// reported is a message that fails, from the i-th source.
func reported(b *testing.B, i int) report.Message {
	c, err := ours.New(ours.Config{Resolver: dmarcZone{}})
	if err != nil {
		b.Fatal(err)
	}
	found := c.Check(context.Background(), ours.Message{
		Header: []byte("From: <ann@example.com>\r\n"), SPF: ours.SPF{Domain: "bounce.example.net", Result: "pass"},
		DKIM: []ours.DKIM{{Domain: "example.net", Selector: "s1", Result: "pass"}},
	})
	return report.Message{Outcome: found, Source: source(i), EnvelopeFrom: "bounce.example.net"}
}

func source(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func reportCollector(b *testing.B, store report.Store) *report.Collector {
	c, err := report.New(report.Config{Store: store, Reporter: report.Reporter{
		Organization: "Example", Email: "dmarc@example.net", Domain: "mx.example.net",
	}})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkDMARCReport adds messages, writes a day's report of 100,000 rows, and
// reads one of 10,000. MiB-live is what the report takes while it is written.
func BenchmarkDMARCReport(b *testing.B) {
	ctx := context.Background()
	const rows = 100_000
	store := &report.Memory{Octets: 256 << 20}
	c := reportCollector(b, store)
	m := reported(b, 0)
	for i := range rows {
		m.Source = source(i)
		if err := c.Add(ctx, m); err != nil {
			b.Fatal(err)
		}
	}
	due := func() (batch report.Batch) {
		for batch, err := range c.Due(ctx, time.Now().Add(24*time.Hour)) {
			if err != nil {
				b.Fatal(err)
			}
			return batch
		}
		b.Fatal("nothing due")
		return batch
	}
	b.Run("add/smtpguard", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m.Source = source(i % rows)
			if err := c.Add(ctx, m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write/smtpguard", func(b *testing.B) {
		batch := due()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for b.Loop() {
			if n, err := c.Write(ctx, io.Discard, batch); n != rows || err != nil {
				b.Fatal(n, err)
			}
		}
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.Sys-before.Sys)/(1<<20), "MiB-grown")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
	m = reported(b, 0)
	var buf bytes.Buffer
	if _, err := c.Write(ctx, &buf, due()); err != nil {
		b.Fatal(err)
	}
	content := buf.String()
	for n, i := 0, 0; ; n++ { // the first 10,000
		j := strings.Index(content[i:], "</record>")
		if i += j + len("</record>"); n == 9_999 {
			content = content[:i] + "</feedback>"
			break
		}
	}
	for _, who := range []struct {
		name string
		read func() int
	}{
		{"smtpguard", func() int {
			f, err := report.Read(strings.NewReader(content), report.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			return len(f.Rows)
		}},
		{"mox", func() int {
			f, err := dmarcrpt.ParseReport(strings.NewReader(content))
			if err != nil {
				b.Fatal(err)
			}
			return len(f.Records)
		}},
	} {
		b.Run("read/"+who.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				if n := who.read(); n != 10_000 {
					b.Fatal(n)
				}
			}
		})
	}
}

// BenchmarkDMARCReportMillion adds a million rows about a thousand policies to a
// file, each a new one. KiB/policy is by how much the heap has grown when they are
// written (no more than 2 MiB wait for that), and peak-KiB/policy the most that
// was seen of it meanwhile, garbage included.
func BenchmarkDMARCReportMillion(b *testing.B) {
	const rows, policies = 1_000_000, 1000
	ctx := context.Background()
	m := reported(b, 0)
	names := make([]string, policies)
	for i := range names {
		names[i] = fmt.Sprintf("%d.example.com", i)
	}
	b.Run("add-to-file/smtpguard", func(b *testing.B) {
		for b.Loop() {
			file, err := boltstore.Open(filepath.Join(b.TempDir(), "dmarc.db"), boltstore.Config{Aside: func(_ string, err error) { b.Error(err) }})
			if err != nil {
				b.Fatal(err)
			}
			c := reportCollector(b, file)
			var before, now runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var peak uint64
			for n := range rows {
				m.Source, m.Outcome.PolicyDomain = source(n), names[n%policies]
				if err := c.Add(ctx, m); err != nil {
					b.Fatal(err)
				}
				if n%10_000 == 0 {
					runtime.ReadMemStats(&now)
					peak = max(peak, now.HeapAlloc)
				}
			}
			for range file.Batches(ctx) { // which writes first
				break
			}
			runtime.GC()
			runtime.GC() // for what the file's library pools
			runtime.ReadMemStats(&now)
			per := func(heap uint64) float64 { return (float64(heap) - float64(before.HeapAlloc)) / 1024 / policies }
			b.ReportMetric(per(now.HeapAlloc), "KiB/policy")
			b.ReportMetric(per(peak), "peak-KiB/policy")
			if err := file.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/rows/float64(b.N), "ns/row")
	})
}
