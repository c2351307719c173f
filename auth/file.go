package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/smtpguard/smtpguard/internal/watch"
)

// FileConfig says where a password file is. The zero value of a field means its
// default.
type FileConfig struct {
	Path string // required

	// Unwatched leaves changes to Reload. Else they are taken over in a moment, or
	// within a minute where the file system does not tell of them.
	Unwatched bool

	// Report hears why a new version of the file was not taken, and nil when one
	// was. It is called from a goroutine of its own and may be nil.
	Report func(error)
}

// File is a store in a file of lines like
//
//	ann@example.org:$argon2id$v=19$m=19456,t=2,p=1$… senders=ann@example.org,*@lists.example.org
//	ann@example.org:$argon2id$v=19$m=19456,t=2,p=1$… label=phone networks=192.0.2.0/24 until=2027-12-31
//	bob@example.org:SCRAM-SHA-256$65536:… listeners=submission mechanisms=SCRAM-SHA-256,SCRAM-SHA-256-PLUS
//	eve@example.org:* disabled
//
// A line has a login (in any case, see [NormalLogin]), a colon, a hash (see
// [ParseHash]) or "*" for none, and attributes, each behind white space:
//
//	senders=A,B      what it may send as, see CheckSender; default: its own address
//	networks=A,B     from where it may log in: prefixes or addresses; default: anywhere
//	mechanisms=A,B   how; default: any
//	listeners=A,B    at which listeners; default: any
//	until=TIME       when it ends: RFC 3339, or a date that it is good to the end of, in UTC
//	disabled         may not log in
//	label=NAME       this is the app password of that name, not the account's own
//
// Lines with the same login and label are one password in several forms, SCRAM
// keys beside an argon2id hash say; the first of them has the attributes. Those of
// an app password narrow the account's. App passwords have the salt of the
// account's hash of the same kind ([Hash.Beside]): SCRAM could not do with
// another, and other kinds would cost a derivation more. Empty lines and those
// that begin with # say nothing.
//
// A file that others may read is not taken, nor one with anything wrong in it: the
// version before stays in force.
type File struct {
	cfg     FileConfig
	derived atomic.Int64
	now     atomic.Pointer[version]
	seq     atomic.Uint64

	mu    sync.Mutex     // of a reload
	watch *watch.Watcher // nil without
}

// version is what a file said at one time.
type version struct {
	accounts map[string]*Account
	terms    map[string]ScramTerms
	checker  *Checker
}

// maxFile bounds a password file in octets.
const maxFile = 64 << 20

// OpenFile reads a password file and goes on looking at it until Close.
func OpenFile(cfg FileConfig) (*File, error) {
	if cfg.Path == "" {
		return nil, errors.New("auth: FileConfig.Path is empty")
	}
	f := &File{cfg: cfg}
	if !cfg.Unwatched { // before it is read, so that no change is missed
		f.watch = watch.New(watch.Config{
			Files:   []string{cfg.Path},
			Changed: func() { f.report(f.Reload()) },
			Failed:  func(err error) { f.report(fmt.Errorf("auth: password file: changes are seen late: %w", err)) },
		})
	}
	if err := f.Reload(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close ends the watch over the file. What was read stays in force.
func (f *File) Close() error {
	if f.watch != nil {
		f.watch.Close()
	}
	return nil
}

func (f *File) report(err error) {
	if f.cfg.Report != nil {
		f.cfg.Report(err)
	}
}

// Reload reads the file again. After an error the version before stays in force.
func (f *File) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := os.Open(f.cfg.Path)
	if err != nil {
		return fmt.Errorf("auth: password file: %w", err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return fmt.Errorf("auth: password file: %w", err)
	}
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("auth: %s is no regular file", f.cfg.Path)
	case info.Mode()&0o007 != 0:
		return fmt.Errorf("auth: %s is open to others: chmod o= %[1]s", f.cfg.Path)
	case info.Size() > maxFile:
		return fmt.Errorf("auth: %s has over %d octets", f.cfg.Path, maxFile)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return fmt.Errorf("auth: password file: %w", err)
	}
	v, err := parseFile(string(text), &f.derived)
	if err != nil {
		return fmt.Errorf("auth: %s:%w", f.cfg.Path, err)
	}
	if before := f.now.Load(); before != nil {
		for login, a := range v.accounts {
			if was := before.accounts[login]; was != nil && reflect.DeepEqual(was, a) {
				v.accounts[login] = was // whoever has logged in to it may stay
			}
		}
	}
	f.now.Store(v)
	f.seq.Add(1)
	return nil
}

// Version counts the versions of the file that were taken.
func (f *File) Version() uint64 { return f.seq.Load() }

// Derivations counts the keys derived so far to check passwords.
func (f *File) Derivations() int64 { return f.derived.Load() }

// Verify judges a password: see [Store].
func (f *File) Verify(ctx context.Context, login, password string) (*Identity, error) {
	v := f.now.Load()
	return v.checker.Check(ctx, v.accounts[login], password)
}

// Scram returns SCRAM keys: see [ScramStore].
func (f *File) Scram(_ context.Context, login, mechanism string) ([]ScramKey, error) {
	if a := f.now.Load().accounts[login]; a != nil {
		return a.Scram(mechanism), nil
	}
	return nil, nil
}

// ScramTerms says what the keys are like: see [ScramStore].
func (f *File) ScramTerms(mechanism string) ScramTerms { return f.now.Load().terms[mechanism] }

// Identity returns the account of a login that was proven by something else than
// a password: a certificate, or a token. Its error is [ErrCredentials] when there is
// none, or wraps it when it is disabled.
func (f *File) Identity(_ context.Context, login string) (*Identity, error) {
	login, err := NormalLogin(login)
	if err != nil {
		return nil, ErrCredentials
	}
	switch a := f.now.Load().accounts[login]; {
	case a == nil:
		return nil, ErrCredentials
	case a.Disabled:
		return nil, fmt.Errorf("%w: disabled", ErrCredentials)
	default:
		return a.Identity, nil
	}
}

// Stands reports whether the file says the same of the account that id is of as
// when id was got from it. Else it was removed or disabled, or has another password
// or other attributes: whoever has logged in to it is to do so again.
func (f *File) Stands(id *Identity) bool {
	if id == nil {
		return false
	}
	a := f.now.Load().accounts[id.Login]
	return a != nil && (id == a.Identity || slices.ContainsFunc(a.Passwords, func(p Password) bool { return p.Identity == id }))
}

var _ ScramStore = (*File)(nil)
