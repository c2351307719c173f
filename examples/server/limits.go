package main

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/limiter/redisstore"
)

// limits are the checks that bound clients.
type limits struct {
	overload    *limiter.Overload
	concurrency *limiter.Concurrency
	rates       *limiter.Rates
	logins      *limiter.Logins
}

// newLimits builds what cfg says on store; locked hears of lockouts.
func newLimits(cfg *Config, store limiter.Store, locked func(limiter.Lockout), log *slog.Logger) (l limits, err error) {
	own := prefixes(cfg.OwnNetworks)
	l.overload, err = limiter.NewOverload(limiter.OverloadConfig{
		Friends: own,
		Changed: func(c limiter.Change) {
			log.Warn("load: "+c.To.String(), "before", c.From.String(), "connections", c.Conns, "goroutines", c.Goroutines, "memory", c.Memory)
		},
	})
	if err != nil {
		return l, err
	}
	if l.concurrency, err = limiter.NewConcurrency(cfg.Concurrency.config(own)); err != nil {
		return l, err
	}
	tarpit, err := limiter.NewTarpit(limiter.TarpitConfig{Overload: l.overload})
	if err != nil {
		return l, err
	}
	failed := func(err error) { log.Error("limits cannot be counted", "error", err.Error()) }
	l.rates, err = limiter.NewRates(store, limiter.RatesConfig{Rules: cfg.limiterRules(), Tarpit: tarpit, Report: failed})
	if err != nil {
		return l, err
	}
	guesses := cfg.Guesses.config()
	guesses.Report = failed
	guesses.Locked = func(o limiter.Lockout) {
		log.Warn("login locked out", "login", o.Login, "client", o.Client.String(), "counted by", string(o.Counter), "for", o.For.Round(time.Second).String(), "strike", o.Strike)
		locked(o)
	}
	l.logins, err = limiter.NewLogins(store, guesses)
	return l, err
}

// config is c for package limiter; own networks are bounded as a whole alone.
func (c *Concurrency) config(own []netip.Prefix) limiter.ConcurrencyConfig {
	room := limiter.Room{Conns: int(c.Connections), Transactions: int(c.Transactions)}
	strangers := room
	strangers.PerNetwork = []limiter.PerNetwork{
		{Network: limiter.Bits{V4: 32, V6: 64}, Conns: int(c.Client)},
		{Network: limiter.Bits{V4: 24, V6: 56}, Conns: int(c.Network)},
	}
	return limiter.ConcurrencyConfig{Strangers: strangers, Own: room, OwnNetworks: own, PerLogin: int(c.Login)}
}

// limiterRules are Rates for package limiter.
func (cfg *Config) limiterRules() (rules []limiter.Rule) {
	for _, r := range cfg.Rates {
		rule := limiter.Rule{
			Name: r.Name, Unit: limiter.Unit(r.Unit), Effect: limiter.Effect(r.Effect),
			Only:   limiter.Clients{Networks: prefixes(r.Networks), Logins: r.Logins},
			Exempt: limiter.Clients{Networks: prefixes(r.Except)},
		}
		for _, b := range r.By {
			rule.By = append(rule.By, limiter.By(b))
		}
		for _, l := range r.Limits {
			rule.Limits = append(rule.Limits, limiter.Limit(l))
		}
		rules = append(rules, rule)
	}
	return rules
}

func (g *Guesses) config() limiter.LoginsConfig {
	return limiter.LoginsConfig{
		Pair: limiter.Limit(g.Pair), Home: limiter.Limit(g.Home), Login: limiter.Limit(g.Login), Client: limiter.Limit(g.Client),
		Backoff: limiter.Backoff{First: time.Duration(g.First), Max: time.Duration(g.Max), Forget: time.Duration(g.Forget)},
		Fold:    foldLogin,
	}
}

// foldLogin is the login that a spelling is taken for: guesses at one in many
// spellings are guesses at one.
func foldLogin(login string) string {
	if normal, err := auth.NormalLogin(login); err == nil {
		return normal
	}
	return strings.ToLower(login) // nobody's
}

// newStore is where limits are kept: in this process, or in Redis.
func newStore(r *Redis, log *slog.Logger) (store limiter.Store, end func(), err error) {
	if r.Address == "" {
		m, err := limiter.NewMemory(limiter.MemoryConfig{})
		return m, func() {}, err
	}
	s, err := redisstore.New(redisstore.Config{
		Redis:    r.options(),
		Away:     redisstore.Away(r.Away),
		Machines: int(r.Machines),
		Observe: func(ev redisstore.Event) {
			why := ""
			if ev.Err != nil {
				why = ev.Err.Error()
			}
			log.Warn("redis: "+string(ev.Kind), "error", why)
		},
	})
	if err != nil {
		return nil, nil, err
	}
	return s, func() { _ = s.Close() }, nil // it has nothing to lose
}

func (r *Redis) options() redis.UniversalOptions {
	return redis.UniversalOptions{Addrs: []string{r.Address}, Username: r.Username, Password: r.Password}
}
