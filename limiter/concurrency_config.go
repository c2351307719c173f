package limiter

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// ConcurrencyConfig says how much may go on at once, in this process. The zero
// value of a field means its default; a negative number means no limit.
type ConcurrencyConfig struct {
	Strangers Room

	// Own is a room apart for the clients of OwnNetworks: they do not use up
	// what strangers have, nor strangers theirs.
	Own         Room
	OwnNetworks []netip.Prefix

	PerLogin int // connections that one login is proven on; 20
}

// Room is how much some clients may have at once, together.
type Room struct {
	Conns        int // connections; 1,000
	Transactions int // from MAIL to the reply to the content; 500

	// PerNetwork is how many connections one client network may have. Nil is, for
	// strangers, 20 for /32 and /64, 50 for /24 and /56, 100 for /16 and /48; and
	// no limit for one's own networks.
	PerNetwork []PerNetwork
}

// PerNetwork is how many connections each network of a size may have.
type PerNetwork struct {
	Network Bits
	Conns   int
}

func (cfg ConcurrencyConfig) filled() ConcurrencyConfig {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	for _, r := range []*Room{&cfg.Strangers, &cfg.Own} {
		def(&r.Conns, 1000)
		def(&r.Transactions, 500)
		r.PerNetwork = slices.Clone(r.PerNetwork)
	}
	if cfg.Strangers.PerNetwork == nil {
		cfg.Strangers.PerNetwork = []PerNetwork{
			{Bits{32, 64}, 20},
			{Bits{24, 56}, 50},
			{Bits{16, 48}, 100},
		}
	}
	def(&cfg.PerLogin, 20)
	return cfg
}

// validate says what is wrong with cfg, naming the field.
func (cfg *ConcurrencyConfig) validate() error {
	var errs []error
	bad := func(field string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("limiter: ConcurrencyConfig.%s: %w", field, err))
		}
	}
	bad("OwnNetworks", networks(cfg.OwnNetworks))
	for _, r := range []struct {
		name string
		room *Room
	}{{"Strangers", &cfg.Strangers}, {"Own", &cfg.Own}} {
		for i, n := range r.room.PerNetwork {
			field := fmt.Sprintf("%s.PerNetwork[%d].", r.name, i)
			if err := n.Network.validate(); err != nil {
				bad(field+"Network", err)
			}
			if n.Conns == 0 {
				bad(field+"Conns", errors.New("is 0, which has no default: negative means no limit"))
			}
		}
	}
	return errors.Join(errs...)
}
