package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/saslprep"
)

// Store knows who may log in by password. Implementations are safe for
// concurrent use, and do the same work for a login that does not exist as for a
// wrong password.
//
// A Store that has a method Version() uint64 says with another number that it
// has changed: nothing is remembered across that.
type Store interface {
	// Verify judges a password. login is in normal form ([NormalLogin]), and
	// neither it nor password is empty. The
	// error wraps [ErrCredentials] when login and password do not belong together,
	// are unknown, or the account is disabled: the client is never told which. Any
	// other error means that nothing could be judged, and defers the client. What
	// it returns is not written to any more.
	Verify(ctx context.Context, login, password string) (*Identity, error)
}

// StoreFunc makes a [Store] of a function.
type StoreFunc func(ctx context.Context, login, password string) (*Identity, error)

// Verify calls f.
func (f StoreFunc) Verify(ctx context.Context, login, password string) (*Identity, error) {
	return f(ctx, login, password)
}

// ScramStore is a [Store] that has SCRAM keys (RFC 5802, section 3), or some.
type ScramStore interface {
	Store

	// Scram returns the keys of login for mechanism, [ScramSHA256] or [ScramSHA1]:
	// several where it has app passwords, all with one salt and one number of
	// iterations; none, and no error, where it has none or is unknown. Those of a
	// disabled account have no Identity.
	Scram(ctx context.Context, login, mechanism string) ([]ScramKey, error)

	// ScramTerms says what the keys for mechanism are like.
	ScramTerms(mechanism string) ScramTerms
}

// ScramTerms is what a store's SCRAM keys for one mechanism are like.
type ScramTerms struct {
	Every      bool // every password of every enabled login has keys, and there is one
	Iterations int  // the usual number, which an unknown login is told too
	SaltOctets int  // the usual length

	// Lacking is a login with a password that has no keys, for the operator to hear
	// of, where a store can tell.
	Lacking string
}

// ScramKey is what a server knows of a password for SCRAM.
type ScramKey struct {
	Salt       []byte
	Iterations int
	Stored     []byte // StoredKey
	Server     []byte // ServerKey
	Identity   *Identity
}

// ErrCredentials is why a login was refused, as far as the client learns. An
// error that wraps it and says more is for the operator.
var ErrCredentials = errors.New("auth: credentials refused")

// Tokens judges OAuth 2.0 bearer tokens (RFC 6750). It is safe for concurrent
// use.
//
// Tokens that have a method Bearer() (scope, discovery string) say what a client
// is told whose token is refused (RFC 7628, section 3.2.2): the scope that one
// needs, and the URL of its issuer's OpenID configuration; "" for nothing.
type Tokens interface {
	// VerifyToken returns whose token it is; errors are as in [Store].
	VerifyToken(ctx context.Context, token string) (*Identity, error)
}

// TokensFunc makes [Tokens] of a function.
type TokensFunc func(ctx context.Context, token string) (*Identity, error)

// VerifyToken calls f.
func (f TokensFunc) VerifyToken(ctx context.Context, token string) (*Identity, error) {
	return f(ctx, token)
}

// maxLogin bounds a login in octets: an address of 254 (RFC 5321, section
// 4.5.3.1.3), and some more in case it is none.
const maxLogin = 320

// NormalLogin returns the normal form of a login, in which two spellings of one
// compare equal: as RFC 4013 prepares it, in lower case, and where it is an
// address with its domain in A-labels. It fails on what is empty, longer than
// 320 octets or has control characters.
func NormalLogin(login string) (string, error) {
	if len(login) > maxLogin {
		return "", fmt.Errorf("auth: login of %d octets", len(login))
	}
	s, err := saslprep.Prepare(login)
	if err == nil {
		s, err = saslprep.Prepare(strings.ToLower(s)) // lower case may need composing again
	}
	if err != nil {
		return "", fmt.Errorf("auth: login: %w", err)
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		if name, err := domain.Normal(s[at+1:]); err == nil { // else it is no address, and may yet be a login
			s = s[:at+1] + name
		}
	}
	if s == "" || len(s) > maxLogin || strings.ToLower(s) != s {
		return "", errors.New("auth: login empty, too long or without a normal form")
	}
	return s, nil
}
