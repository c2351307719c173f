package limiter_test

import (
	"context"
	"fmt"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

func ExampleMemory() {
	m, err := limiter.NewMemory(limiter.MemoryConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	messages := limiter.Limit{N: 2, Per: time.Hour}
	octets := limiter.Limit{N: 50 << 20, Per: 24 * time.Hour}
	for _, size := range []int{10 << 20, 45 << 20, 1 << 20, 1 << 20} {
		states, err := m.Take(context.Background(), []limiter.Ask{
			{Key: "messages/ann", Limit: messages, N: 1},
			{Key: "octets/ann", Limit: octets, N: size},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		switch message, size := states[0], states[1]; {
		case !message.OK:
			fmt.Println("too many messages, try again in", message.Retry.Round(time.Minute))
		case !size.OK:
			fmt.Println("too many octets, try again in", size.Retry.Round(time.Minute))
		default:
			fmt.Println("fine,", message.Left, "left")
		}
	}
	// Output:
	// fine, 1 left
	// too many octets, try again in 2h24m0s
	// fine, 0 left
	// too many messages, try again in 30m0s
}
