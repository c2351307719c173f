package bench

import (
	"context"
	"encoding/binary"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/boltstore"
)

// dynamicAddr is the i-th of many addresses that lie nowhere near one another.
func dynamicAddr(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x0a000000|uint32(i)*2654435761%(1<<24))
	return netip.AddrFrom4(b)
}

// BenchmarkDynamicFind is a lookup among 90,000 addresses that were blocked one by
// one, from all processors at once.
func BenchmarkDynamicFind(b *testing.B) {
	d, err := blocklist.NewDynamic(blocklist.DynamicConfig{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 90_000 {
		e := blocklist.Entry{Kind: blocklist.Addr, Value: dynamicAddr(i).String(), Word: blocklist.Block, Source: "bench"}
		if err := d.AddAuto(context.Background(), e); err != nil {
			b.Fatal(err)
		}
	}
	for name, first := range map[string]int{"Listed": 0, "Unlisted": 200_000} {
		b.Run(name+"/smtpguard", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := first; pb.Next(); i++ {
					_, ok := d.Find(blocklist.Query{Kind: blocklist.Addr, Addr: dynamicAddr(first + i%90_000)})
					if ok != (first == 0) {
						b.Error("wrong answer")
						return
					}
				}
			})
		})
	}
}

// BenchmarkDynamicAdd is one entry more, in memory and on the disk.
func BenchmarkDynamicAdd(b *testing.B) {
	for name, open := range map[string]func() (blocklist.Store, error){
		"Memory": func() (blocklist.Store, error) { return nil, nil },
		"Bolt": func() (blocklist.Store, error) {
			return boltstore.Open(filepath.Join(b.TempDir(), "entries.db"), boltstore.Config{})
		},
	} {
		b.Run(name+"/smtpguard", func(b *testing.B) {
			store, err := open()
			if err != nil {
				b.Fatal(err)
			}
			d, err := blocklist.NewDynamic(blocklist.DynamicConfig{Store: store, Entries: 1 << 25})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e := blocklist.Entry{Kind: blocklist.Addr, Value: dynamicAddr(i).String(), Word: blocklist.Block, Source: "bench"}
				if err := d.AddAuto(context.Background(), e); err != nil {
					b.Fatal(err)
				}
			}
			d.Close()
		})
	}
}
