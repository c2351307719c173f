package blocklist

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

type nobody struct{}

func (nobody) AddAuto(context.Context, Entry) error { return nil }

// Hits count in a window from the first, and for a bounded number of clients.
func TestTrapCount(t *testing.T) {
	traps, err := NewTraps(TrapConfig{Traps: new(Set), Blocks: nobody{}, Hits: 3, Window: time.Hour, Clients: 2})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for _, tt := range []struct {
		client string
		n      int
		after  time.Duration
		want   bool
	}{
		{"192.0.2.1/32", 1, 0, false},
		{"192.0.2.1/32", 1, 59 * time.Minute, false},
		{"192.0.2.1/32", 1, 60 * time.Minute, false}, // the first of another window
		{"192.0.2.1/32", 1, 61 * time.Minute, false},
		{"192.0.2.2/32", 2, 61 * time.Minute, false},
		{"192.0.2.1/32", 1, 62 * time.Minute, true},
		{"192.0.2.1/32", 2, 63 * time.Minute, false}, // blocked for the hits before
		{"192.0.2.3/32", 3, 63 * time.Minute, true},
		{"192.0.2.4/32", 2, 122 * time.Minute, false}, // in the room of .2, whose window is over
		{"192.0.2.1/32", 1, 122 * time.Minute, true},
		{"192.0.2.5/32", 2, 122 * time.Minute, false},
		{"192.0.2.6/32", 2, 122 * time.Minute, false}, // one of the two before is forgotten
	} {
		if got := traps.count(netip.MustParsePrefix(tt.client), tt.n, start.Add(tt.after)); got != tt.want {
			t.Errorf("%s after %v: %v, want %v", tt.client, tt.after, got, tt.want)
		}
		if len(traps.hits) > 2 {
			t.Errorf("%s after %v: %d clients are remembered", tt.client, tt.after, len(traps.hits))
		}
	}
	if _, ok := traps.hits[netip.MustParsePrefix("192.0.2.6/32")]; !ok {
		t.Error("the last client is not remembered")
	}
}
