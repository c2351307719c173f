package redisstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/limiter/redisstore"
)

// Four machines share their limits. There is no server here, so this one is down
// to its quarter.
func Example() {
	store, err := redisstore.New(redisstore.Config{
		Redis:    redis.UniversalOptions{Addrs: []string{"/var/empty/redis.sock"}},
		Away:     redisstore.Local,
		Machines: 4,
		Observe: func(ev redisstore.Event) {
			if ev.Kind == redisstore.KindAway {
				fmt.Println("Redis is away")
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	for range 4 {
		states, err := store.Take(context.Background(), []limiter.Ask{
			{Key: "mail/addr/192.0.2.1", Limit: limiter.Limit{N: 12, Per: time.Hour}, N: 1},
			{Key: "mail/addr/192.0.2.1", Limit: limiter.Limit{N: 100, Per: 24 * time.Hour}, N: 1},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(states[0].OK, states[0].Left, states[1].Left)
	}
	// Output:
	// true 2 24
	// true 1 23
	// Redis is away
	// true 0 22
	// false 0 22
}
