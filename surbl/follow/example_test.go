package follow_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/smtpguard/smtpguard/surbl/follow"
)

// inside is a resolver that somebody made say what is not so.
type inside struct{}

func (inside) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
}

func Example() {
	follower, err := follow.New(follow.Config{Resolver: inside{}})
	if err != nil {
		panic(err)
	}
	_, err = follower.Next(context.Background(), "https://short.example/latest/meta-data/")
	fmt.Println(err)
	// Output: follow: no public address
}
