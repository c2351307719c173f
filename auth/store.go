package auth

import (
	"context"
	"errors"
	"time"
)

// Store knows who may log in. Implementations are safe for concurrent use, and
// take the same time for an unknown login as for a wrong password.
type Store interface {
	// Verify judges a password. Its error wraps [ErrCredentials] when login and
	// password do not belong together, are unknown, or the account is disabled,
	// expired or may not do this: the client is never told which. Any other error
	// means that nothing could be judged.
	Verify(ctx context.Context, login, password string) (*Identity, error)
}

// ErrCredentials is why a login was refused, as far as the client learns.
var ErrCredentials = errors.New("auth: credentials refused")

// Identity is who logged in, and what that login is good for: need to have, no
// more. The zero value of a field grants what it says.
type Identity struct {
	Login   string   // in its normal form
	Senders []string // addresses it may send as: "ann@example.org", "*@example.org"; empty: its login alone, where that is an address
	Scope   Scope
	Until   time.Time // when it ends; zero: never
}

// Scope is where and how a login, or one of its app passwords, may be used.
type Scope struct {
	Networks   []string // prefixes; empty: from anywhere
	Mechanisms []string // empty: any
	Listeners  []string // by name; empty: any
}
