package auth

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// weak is a hash of the given kind that costs little.
func weak(t testing.TB, kind Kind, password, salt string) Hash {
	t.Helper()
	w := work{kind: kind}
	switch kind {
	case Argon2id:
		w.cost = cost{time: 1, memory: 8, threads: 1, length: 16}
	case Scrypt:
		w.cost = cost{time: 1, memory: 1, threads: 1, length: 16}
	case Bcrypt:
		w.cost = cost{time: bcrypt.MinCost}
	default:
		w.cost = cost{time: minIterations}
	}
	h, err := w.hash(password, []byte(salt))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func own(hashes ...Hash) Password { return Password{Forms: hashes} }

func account(login string, passwords ...Password) *Account {
	return &Account{Identity: &Identity{Login: login}, Passwords: passwords}
}

// What a password costs tells nobody whether its login is there.
func TestEqualWork(t *testing.T) {
	const salt, other = "salt of ann", "salt of bob"
	disabled := account("eve", own(weak(t, Argon2id, "eve's", "salt of eve")))
	disabled.Disabled = true
	for _, tt := range []struct {
		name     string
		accounts []*Account
		want     int64
	}{
		{"none", nil, 1},
		{"no passwords", []*Account{account("ann")}, 1},
		{"one kind", []*Account{
			account("ann", own(weak(t, Argon2id, "ann's", salt))),
			account("bob", own(weak(t, Argon2id, "bob's", other))), disabled,
		}, 1},
		{"app passwords beside", []*Account{
			account("ann", own(weak(t, Argon2id, "ann's", salt)), own(weak(t, Argon2id, "app's", salt)), own(weak(t, Argon2id, "phone's", salt))),
			account("bob", own(weak(t, Argon2id, "bob's", other))), disabled,
		}, 1},
		{"one password in several forms", []*Account{
			account("ann", own(weak(t, ScramKeysSHA256, "ann's", salt), weak(t, ScramKeysSHA1, "ann's", salt), weak(t, Argon2id, "ann's", salt))),
			account("bob", own(weak(t, Argon2id, "bob's", other))), disabled,
		}, 1},
		{"SCRAM keys alone", []*Account{account("ann", own(weak(t, ScramKeysSHA256, "ann's", salt))), account("bob", own(weak(t, ScramKeysSHA256, "bob's", other)))}, 1},
		{"app passwords with other salts", []*Account{
			account("ann", own(weak(t, Argon2id, "ann's", salt)), own(weak(t, Argon2id, "app's", "the app's salt"))),
			account("bob", own(weak(t, Argon2id, "bob's", other))), disabled,
		}, 2},
		{"bcrypt has salts of its own", []*Account{
			account("ann", own(weak(t, Bcrypt, "ann's", "")), own(weak(t, Bcrypt, "app's", ""))),
			account("bob", own(weak(t, Bcrypt, "bob's", ""))),
		}, 2},
		{"two kinds", []*Account{
			account("ann", own(weak(t, Scrypt, "ann's", salt))),
			account("bob", own(weak(t, Bcrypt, "bob's", ""))), disabled,
		}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c Checker
			for _, a := range tt.accounts {
				if err := c.Know(a); err != nil {
					t.Fatal(err)
				}
			}
			cost := func(a *Account, password string) int64 {
				t.Helper()
				before := c.Derivations()
				id, err := c.Check(context.Background(), a, password)
				if id != nil || !errors.Is(err, ErrCredentials) {
					t.Errorf("%q is accepted: %v, %v", password, id, err)
				}
				return c.Derivations() - before
			}
			for _, a := range append(tt.accounts, nil) {
				if got := cost(a, "wrong"); got != tt.want {
					t.Errorf("%+v costs %d derivations, want %d", a, got, tt.want)
				}
			}
			for _, a := range tt.accounts {
				if a.Disabled {
					if got := cost(a, "eve's"); got != tt.want {
						t.Errorf("the right password of a disabled account costs %d derivations, want %d", got, tt.want)
					}
					continue
				}
				if len(a.Passwords) == 0 {
					continue
				}
				before := c.Derivations()
				id, err := c.Check(context.Background(), a, a.Identity.Login+"'s")
				if id != a.Identity || err != nil || c.Derivations() != before+tt.want {
					t.Errorf("%s logs in as %v, %v, for %d derivations", a.Identity.Login, id, err, c.Derivations()-before)
				}
			}
		})
	}
}

func TestAppPasswords(t *testing.T) {
	a := account("ann", own(weak(t, Argon2id, "ann's", "salt of ann")))
	app, gone := &Identity{Login: "ann", App: "phone", Within: a.Identity}, &Identity{Login: "ann", App: "old", Within: a.Identity}
	a.Passwords = append(a.Passwords,
		Password{Identity: app, Forms: []Hash{weak(t, Argon2id, "phone's", "salt of ann")}},
		Password{Identity: gone, Disabled: true, Forms: []Hash{weak(t, Argon2id, "old one's", "salt of ann")}})
	var c Checker
	if err := c.Know(a); err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]*Identity{"ann's": a.Identity, "phone's": app, "old one's": nil, "": nil} {
		if got, err := c.Check(context.Background(), a, password); got != want || (err == nil) != (want != nil) {
			t.Errorf("%q is %v, %v", password, got, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, a := range []*Account{a, nil} {
		if _, err := c.Check(ctx, a, "ann's"); !errors.Is(err, context.Canceled) || errors.Is(err, ErrCredentials) {
			t.Errorf("after the end of ctx: %v", err)
		}
	}
}

func TestTooMuchWork(t *testing.T) {
	a := account("ann")
	for i := range maxWork + 1 {
		a.Passwords = append(a.Passwords, own(weak(t, Argon2id, "x", "salt number "+string(rune('a'+i)))))
	}
	var c Checker
	if err := c.Know(a); err == nil {
		t.Error("nine derivations a check")
	}
	if got := len(c.most); got != 0 {
		t.Errorf("a refused account left %d kinds of work", got)
	}
	a.Passwords = a.Passwords[1:]
	if err := c.Know(a); err != nil {
		t.Error(err)
	}
}

// A decoy of bcrypt is a hash to it, not an error that costs nothing.
func TestDecoyBcrypt(t *testing.T) {
	for _, n := range []int{bcrypt.MinCost, 12} {
		if got, err := bcrypt.Cost(decoyBcrypt(n)); got != n || err != nil {
			t.Errorf("cost %d, %v; want %d", got, err, n)
		}
	}
	if err := bcrypt.CompareHashAndPassword(decoyBcrypt(bcrypt.MinCost), []byte("x")); err != bcrypt.ErrMismatchedHashAndPassword {
		t.Error(err)
	}
}
