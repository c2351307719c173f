package limiter

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
)

// LoginsConfig says how many failed logins are free, and what follows. The zero
// value of a field means its default. A Limit with a negative N counts nothing.
type LoginsConfig struct {
	Pair   Limit // failures of one client network on one login; 5 in 15 minutes
	Home   Limit // the same, from a network that this login was proven from before; 20 in an hour
	Login  Limit // failures on one login, from all networks but its homes; 50 in an hour
	Client Limit // logins that one network failed on (password stuffing); 20 in an hour

	Bits     Bits          // what is one client network
	HomeBits Bits          // what is one home; 24 and 56: many hosts get a new address now and then
	HomeFor  time.Duration // how long a home is remembered after the last success; 30 days

	Backoff Backoff

	// Fold brings a login into the form in which it is counted. nil is lower case
	// without surrounding white space. A backend that takes more spellings for
	// one account needs its own, or each of them is a login by itself.
	Fold func(login string) string

	Exempt Clients        // not counted at all; nobody has a login yet
	Shared []netip.Prefix // networks that many people log in from, a webmail server's say: Client does not count them

	Disconnect bool // refuse with 421 and hang up; false is 454 4.7.0
	OnError    smtpguard.Failure

	// Failed says whether an attempt that ended with err was a guess. nil is: yes,
	// but for 4yz replies other than X.7.0. Go-smtp gives 454 4.7.0 to what is no
	// *smtp.SMTPError, and many backends have none for a wrong password.
	Failed func(err error) bool

	// Locked hears of lockouts: at most LockedRate of them (60 a minute). It may be
	// nil and must not block. Those of PairFailures and ClientFailures name a network
	// that a block list may want; that of LoginFailures is one of many.
	Locked     func(Lockout)
	LockedRate Limit

	// Report hears of what could not be counted after the last reply because the
	// store failed. It may be nil and must not block.
	Report func(error)
}

// Backoff is how long no more attempts are judged after the last free failure.
// Each lockout doubles the time, and until it is forgiven what an attempt costs of
// the limit.
type Backoff struct {
	First  time.Duration // at the first lockout; the limit then takes its time to regain an attempt; 5 min
	Max    time.Duration // 1 h
	Forget time.Duration // all lockouts are forgiven after so long without one, one by one until then; 24 h
}

// Counter is what failed logins are counted by.
type Counter string

const (
	PairFailures    Counter = "pair"    // LoginsConfig.Pair
	HomeFailures    Counter = "home"    // LoginsConfig.Home
	LoginFailures   Counter = "login"   // LoginsConfig.Login
	ClientFailures  Counter = "client"  // LoginsConfig.Client
	UnnamedFailures Counter = "unnamed" // by LoginsConfig.Client too, apart: of mechanisms that name no login
)

// Lockout says that no more attempts are judged for a time.
type Lockout struct {
	Counter Counter
	Client  netip.Prefix  // whose failure was the last; zero where its address is not known
	Login   string        // as claimed, its first 255 octets; anybody can claim any
	Strike  int           // which lockout in a row
	For     time.Duration // how long, from now
	Missed  int           // lockouts before this one that nobody was told of, for LockedRate
}

func (cfg LoginsConfig) filled() LoginsConfig {
	limit := func(l *Limit, n int, per time.Duration) {
		if *l == (Limit{}) {
			*l = Limit{N: n, Per: per}
		}
		if l.N < 0 {
			*l = Limit{}
		}
	}
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	limit(&cfg.Pair, 5, 15*time.Minute)
	limit(&cfg.Home, 20, time.Hour)
	limit(&cfg.Login, 50, time.Hour)
	limit(&cfg.Client, 20, time.Hour)
	limit(&cfg.LockedRate, 60, time.Minute)
	if cfg.HomeBits == (Bits{}) {
		cfg.HomeBits = Bits{V4: 24, V6: 56}
	}
	def(&cfg.HomeFor, 30*24*time.Hour)
	def(&cfg.Backoff.First, 5*time.Minute)
	def(&cfg.Backoff.Max, time.Hour)
	def(&cfg.Backoff.Forget, 24*time.Hour)
	if cfg.Fold == nil {
		cfg.Fold = fold
	}
	if cfg.Failed == nil {
		cfg.Failed = guessed
	}
	return cfg
}

// guessed is the default of LoginsConfig.Failed.
func guessed(err error) bool {
	var e *smtp.SMTPError
	return !errors.As(err, &e) || e.Code/100 == 5 || e.EnhancedCode == smtp.EnhancedCode{4, 7, 0}
}

// validate says what is wrong with a filled cfg, naming the field.
func (cfg *LoginsConfig) validate() error {
	var errs []error
	bad := func(field string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("limiter: LoginsConfig.%s%w", field, err))
		}
	}
	bad("Pair: ", cfg.Pair.Validate())
	bad("Home: ", cfg.Home.Validate())
	bad("Login: ", cfg.Login.Validate())
	bad("Client: ", cfg.Client.Validate())
	bad("LockedRate: ", cfg.LockedRate.Validate())
	bad("Bits.", cfg.Bits.validate())
	bad("HomeBits.", cfg.HomeBits.validate())
	bad("Exempt: ", cfg.Exempt.validate())
	if len(cfg.Exempt.Logins) > 0 {
		bad("Exempt.Logins: ", errors.New("fit nobody, for before AUTH there is no login"))
	}
	bad("Shared: ", networks(cfg.Shared))
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"HomeFor", cfg.HomeFor}, {"Backoff.First", cfg.Backoff.First}, {"Backoff.Max", cfg.Backoff.Max}, {"Backoff.Forget", cfg.Backoff.Forget},
	} {
		if f.d < 0 || f.d > MaxWindow {
			bad(f.name+": ", errors.New("must be between 0 and MaxWindow"))
		}
	}
	if cfg.Backoff.Max < cfg.Backoff.First {
		bad("Backoff.Max: ", errors.New("must not be less than First"))
	}
	if cfg.OnError < smtpguard.FailDefer || cfg.OnError > smtpguard.FailRefuse {
		bad("OnError: ", fmt.Errorf("%d is no Failure", int(cfg.OnError)))
	}
	return errors.Join(errs...)
}
