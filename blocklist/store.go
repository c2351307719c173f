package blocklist

import (
	"context"
	"errors"
	"time"
)

// Store keeps dynamic entries where they outlive the process: boltstore in a
// file, redisstore for several machines; package storetest is what every store
// has to pass. Implementations are safe for concurrent use, and forget entries
// that have expired by themselves.
type Store interface {
	// Apply carries out c and writes it down, both or neither, and returns the
	// number that c got: one more than the change before. Once it has returned
	// without an error, c is kept whatever happens to this process. After an
	// error it may have been carried out or not, except after ErrByHand: what is
	// automatic never replaces what a person added and has not expired.
	Apply(ctx context.Context, c Change) (seq uint64, err error)

	// Load calls f with every entry, in any order, with one perhaps twice; f's
	// error ends it. seq is the number of the last change that is sure to be in:
	// what came later may be.
	Load(ctx context.Context, f func(Item) error) (seq uint64, err error)

	// Changes returns changes after number after, oldest first, with 0 from the
	// oldest that is still known, and the number of the last one there is. It may
	// stop short of that, but not at nothing. A store keeps a bounded number of
	// changes, so that the first returned need not be the one after.
	Changes(ctx context.Context, after uint64) (cs []Change, last uint64, err error)

	// Poll is how often others' changes should be asked for; 0 when nobody else
	// can write to the store.
	Poll() time.Duration
}

// Item is a dynamic entry. It always expires.
type Item struct {
	Entry
	Auto bool // a program's judgement, a trap's or a lockout's; not a person's
}

// Op is what a Change does.
type Op string

const (
	Added   Op = "add" // or took the place of another of that kind and value
	Removed Op = "remove"
)

// Change is one act on the dynamic entries, for the record.
type Change struct {
	Seq  uint64 // given by the store; 0 before that
	Time time.Time
	Op   Op
	Item Item   // as added, or as it was when it was removed
	By   string // who
	Why  string
}

// What errors are that a caller may have to tell apart.
var (
	// ErrByHand is the answer to an automatic entry where a person's word
	// stands for the same value.
	ErrByHand = errors.New("a person has spoken on this already")

	// ErrProtected is the answer to an automatic entry that would block what must
	// not be blocked.
	ErrProtected = errors.New("protected")

	// ErrFull says that there is no room for another entry.
	ErrFull = errors.New("no room for another entry")

	// ErrNotFound says that there is no such entry.
	ErrNotFound = errors.New("no such entry")

	// ErrNotKept says that a change is in force in this process, and that the
	// store could not be told yet.
	ErrNotKept = errors.New("in force here, but not kept yet")
)
