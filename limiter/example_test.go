package limiter_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

func Example() {
	store, err := limiter.NewMemory(limiter.MemoryConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	logins, err := limiter.NewLogins(store, limiter.LoginsConfig{
		Pair:  limiter.Limit{N: 2, Per: 15 * time.Minute},
		Login: limiter.Limit{N: 3, Per: time.Hour},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, try := range []struct{ addr, login, password string }{
		{"192.0.2.7", "ann", "secret"}, // her own network
		{"198.51.100.1", "ann", "123456"},
		{"198.51.100.1", "ann", "qwerty"},
		{"198.51.100.1", "Ann", "secret"},
		{"203.0.113.1", "ann", "123456"},
		{"203.0.113.2", "ann", "qwerty"},
		{"192.0.2.7", "ann", "secret"},
		{"203.0.113.2", "bob", "secret"},
	} {
		attempt, err := logins.Begin(ctx, netip.MustParseAddr(try.addr), try.login)
		if err != nil {
			fmt.Println(err)
			return
		}
		said := "wrong"
		if standing, refused := attempt.Refused(); refused {
			said = "not judged, for what failed by " + string(standing.Counter)
		} else if try.password == "secret" {
			said, err = "right", attempt.Succeeded(ctx)
		} else {
			err = attempt.Failed(ctx)
		}
		fmt.Println(try.addr, try.login, said)
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output:
	// 192.0.2.7 ann right
	// 198.51.100.1 ann wrong
	// 198.51.100.1 ann wrong
	// 198.51.100.1 Ann not judged, for what failed by pair
	// 203.0.113.1 ann wrong
	// 203.0.113.2 ann not judged, for what failed by login
	// 192.0.2.7 ann right
	// 203.0.113.2 bob right
}
