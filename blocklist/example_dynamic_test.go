package blocklist_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
)

func ExampleDynamic() {
	ctx := context.Background()
	d, err := blocklist.NewDynamic(blocklist.DynamicConfig{
		Protect: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, // our own network
		Audit: func(c blocklist.Change) {
			fmt.Println("changed:", c.Op, c.Item.Word, c.Item.Value, "by", c.By)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()

	// A person says so, for a week.
	err = d.Add(ctx, blocklist.Entry{
		Kind: blocklist.Addr, Value: "192.0.2.0/24", Word: blocklist.Block,
		Reason: "phishing, ticket 12", Source: "ann", Expires: time.Now().Add(7 * 24 * time.Hour),
	})
	fmt.Println("by hand:", err)

	// Programs block one client for a while, and nobody who is protected.
	for _, client := range []string{"198.51.100.7", "203.0.113.7"} {
		err = d.AddAuto(ctx, blocklist.Entry{Kind: blocklist.Addr, Value: client, Word: blocklist.Block, Source: "lockout"})
		fmt.Println("lockout:", err, errors.Is(err, blocklist.ErrProtected))
	}

	for _, client := range []string{"192.0.2.1", "198.51.100.7", "203.0.113.7"} {
		m, listed := d.Find(blocklist.Query{Kind: blocklist.Addr, Addr: netip.MustParseAddr(client)})
		fmt.Println(client, listed, m.Entry.Source)
	}
	// Output:
	// changed: add block 192.0.2.0/24 by ann
	// by hand: <nil>
	// changed: add block 198.51.100.7 by lockout
	// lockout: <nil> false
	// lockout: blocklist: entry addr "203.0.113.7": protected: 203.0.113.0/24 is in Protect true
	// 192.0.2.1 true ann
	// 198.51.100.7 true lockout
	// 203.0.113.7 false
}
