// Package smtpguard puts checks around the sessions of a
// [github.com/emersion/go-smtp] server.
//
// A [Check] is one policy, as hooks in the order of an SMTP session; a [Guard]
// runs checks, in order, around any backend:
//
//	guard, err := smtpguard.New(smtpguard.Config{}, relays.Check(), limits)
//	srv := smtp.NewServer(guard.Wrap(backend))
//	err = smtpguard.Harden(srv)
//	ln, err := guard.Listen(srv, tcp, smtpguard.ListenConfig{})
//	err = ln.Serve()
//
// Around the checks the guard keeps the session itself safe: content is spooled
// and judged whole before the backend sees any of it, nothing runs after a
// connection was given up, and content can not be taken for commands or the
// other way round. The [Listener] adds what can only be done below go-smtp:
// vetting connections before the banner, the PROXY protocol, deadlines that
// move with the transfer, draining.
//
// Failure is policy: a check that fails defers the mail (451 4.3.0) unless its
// [Check.OnError] says otherwise. No network is trusted until configured.
//
// It follows RFC 5321 (SMTP), RFC 2033 (LMTP), RFC 2920 (pipelining), RFC 3030
// (BDAT), RFC 3207 (STARTTLS), RFC 4954 (AUTH) and RFC 6531 (SMTPUTF8).
package smtpguard
