// Package limiter answers: how much, how often, how many at once?
//
//	store, err := limiter.NewMemory(limiter.MemoryConfig{})
//	concurrency, err := limiter.NewConcurrency(limiter.ConcurrencyConfig{})
//	logins, err := limiter.NewLogins(store, limiter.LoginsConfig{})
//	rates, err := limiter.NewRates(store, limiter.RatesConfig{Rules: []limiter.Rule{
//		{Name: "connections", Unit: limiter.Connections, By: []limiter.By{limiter.ByClient}, Limits: []limiter.Limit{{N: 60, Per: time.Minute}}},
//		{Name: "probing", Unit: limiter.Unknown, By: []limiter.By{limiter.ByClient}, Limits: []limiter.Limit{{N: 20, Per: time.Hour}}, Effect: limiter.Disconnect},
//		{Name: "users", Unit: limiter.Recipients, By: []limiter.By{limiter.ByLogin}, Limits: []limiter.Limit{{N: 100, Per: time.Hour}, {N: 500, Per: 24 * time.Hour}}},
//	}})
//	guard, err := smtpguard.New(smtpguard.Config{}, concurrency.Check(), rates.Check(), logins.Check())
//
// [Concurrency] bounds what goes on at once in this process: connections in
// total, per client network and per login, and transactions. [Rates] limits what
// comes in a time, by rules over keys that the operator composes. [Logins] shuts
// out who guesses passwords, and not whose password it is. [Overload] gives
// clients less time, and lets fewer newcomers in, when there is too much to do.
// [Tarpit] holds back replies where a rule of Rates says so.
//
// Rates and Logins keep what they count in a [Store]: a [Memory] for one process,
// package redisstore for several machines. They ask it once for all limits of a
// stage, twice at a login. What a store that fails means is for OnError to say; by
// default mail is deferred. Where a store is told apart from what it was asked
// (a hook that ran into its deadline), units may stay spent that nobody had.
//
// No check of this package passes over anybody by himself, own networks and
// loopback included, and the word of an allow list does not pass over it
// ([smtpguard.Check.Always]): exceptions are in each Config.
//
// Limits are token buckets, kept by the generic cell rate algorithm (ITU-T I.371,
// Annex A). Replies follow RFC 5321 (sections 4.2.3 and 4.5.3.1), RFC 3463, and RFC 4954
// at AUTH.
package limiter
