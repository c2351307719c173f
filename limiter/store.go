package limiter

import (
	"context"
	"time"
)

// Store keeps what has been spent of limits, by key. Memory keeps it in this
// process, redisstore for several machines; package storetest is what every
// store has to pass. Implementations are safe for concurrent use.
type Store interface {
	// Take decides about all asks together and answers each in its place: states
	// has the length of asks. When every ask that is not forced has room, a look
	// for one unit, all are spent; when one has none, no ask is spent (nor is
	// anything given back) but the forced ones. A store that cannot be that exact
	// says so in its documentation.
	//
	// Asks are decided in order, and each finds what those before it have spent:
	// that matters where one key is asked for twice.
	//
	// The store's own clock counts. An error means that nothing was decided; what
	// that means for the mail is the caller's policy. An ask that is not valid, or
	// more than [MaxAsks] of them, are an error.
	Take(ctx context.Context, asks []Ask) (states []State, err error)
}

// MaxAsks is how many asks one Take may have.
const MaxAsks = 256

// Ask is one key's wish for units of one limit. The same key under another
// Limit is another state: a window of its own.
type Ask struct {
	Key   string // what is limited, with the limit's name: "mail/addr/192.0.2.1"; any octets, any length
	Limit Limit
	N     int // units; 0 only looks, for room for one; negative gives back what an earlier ask has spent

	// Force spends even what is not there, and keeps no other ask from being
	// spent: soft limits, penalties. The key goes into debt, as far as Debt.
	Force bool

	// Debt is how long a forced ask may make the key wait beyond an empty bucket,
	// at most MaxWindow. It belongs to the key as its Limit does: what other asks
	// for it allow less of, forced or not, is forgiven.
	Debt time.Duration

	// Overflow is the key that stands for this one where a store has no room for
	// another key: that of its network, say. "" means one for all of the limit.
	Overflow string
}

// State is how a key stands after the decision. Under the zero Limit it is
// always OK, and Left is math.MaxInt.
type State struct {
	OK    bool          // there was room for N units (1, for a look); of a forced ask too; always when giving back
	Left  int           // units that could be spent now
	Retry time.Duration // until an ask for as much (1, for a look or giving back) would be OK; 0 when it would now, Never when N is more than Burst
	Full  time.Duration // until the bucket is as if never used; 0 when it is
}
