// Package auth answers: who is the client, and who may send as whom?
//
//	passwords, err := auth.OpenFile(auth.FileConfig{Path: "passwords"})
//	a, err := auth.New(auth.Config{Store: passwords, Listeners: []string{"submission"}})
//	senders, err := auth.NewSenders(auth.SendersConfig{})
//	guard, err := smtpguard.New(smtpguard.Config{}, auth.Required("submission"), senders.Check())
//	server := smtp.NewServer(guard.Wrap(a.Wrap(backend)))
//
// [Auth] adds AUTH to a backend that has none: under TLS, at the listeners that
// are named, the strongest mechanism first. [Required] wants a login before mail,
// and [Senders] mail in nobody else's name. Whoever comes later finds the login in
// [smtpguard.Conn.Login] and what it is good for in [IdentityOf].
//
// # Stores
//
// A [Store] judges passwords: a [File], a [StoreFunc], and others in packages
// below this one. One that keeps hashes leaves the judging to a [Checker]. A
// [ScramStore] has SCRAM keys besides. [Tokens] and [ExternalFunc] judge what is no
// password.
//
// SCRAM is offered only where every password has keys for it, since a client that
// can do it tries nothing else. With SCRAM the server never learns a password and
// derives no key; argon2id protects a stolen store better. The -PLUS mechanisms
// bind a login to its TLS 1.3 connection, so that nobody can pass it on. A client
// that could, and says that they were not offered when they were, has somebody
// between it and us: it is refused, and [Config].Observe hears of it.
//
// What changes in a store holds from the next login on, but for the end of an
// identity's time, which [Senders] look at with each message. [File.Stands] tells
// a check of who is still logged in to an account that has changed.
//
// # Guessing
//
// A password that is wrong, whose login does not exist, is disabled or may not do
// this, gets one reply, 535 5.7.8, for the same work. What guessing costs us is
// bounded by the [Gate]; whose turn does not come in time is deferred, 454 4.3.2. A
// password that was right is remembered for a short while, by a keyed hash of it
// ([Cache]).
//
// How often somebody may fail is for a check to say: the guard shows every
// attempt, of every mechanism, to its checks' Auth hooks before it is judged, and
// its end to their AuthDone hooks, where nil means success, and 4yz that nothing
// was judged. Package limiter's Logins is one; its Fold has to be [NormalLogin]
// then, or each spelling of a login has guesses of its own.
//
// RFC 4954 (AUTH), RFC 4422 (SASL), RFC 4616 (PLAIN), RFC 5802 and RFC 7677
// (SCRAM), RFC 5929 and RFC 9266 (channel binding), RFC 7628 (OAUTHBEARER), RFC 6409
// (submission), RFC 5322 (who sends).
package auth
