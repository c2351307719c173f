// Package dovecot answers: who may log in, by the Dovecot beside us?
//
//	store, err := dovecot.New(dovecot.Config{Socket: "/run/dovecot/auth-smtp"})
//	a, err := auth.New(auth.Config{Store: store, Listeners: []string{"submission"}, Gate: auth.Gate{Slots: 64, Share: 1}})
//
// It speaks the Dovecot authentication protocol, version 1, as Dovecot's clients
// do (https://doc.dovecot.org/latest/developers/design/auth_protocol.html), over
// a Unix socket that dovecot.conf opens to us:
//
//	service auth {
//	  unix_listener auth-smtp {
//	    mode = 0600
//	    user = the one we run as
//	  }
//	}
//
// Whoever Dovecot's passdb knows can so log in. All requests go over one
// connection, which is made when it is needed, and again when it is lost.
// Passwords are said to be secured, for package auth takes them under TLS.
//
// Dovecot is not told the client's address. To its penalties for guessing, all
// our clients would so be one, and any of them could shut out the rest: it is
// asked for none. Package limiter's Logins counts attempts here, by address too.
// Rules of a passdb about addresses (allow_nets) find none.
//
// Dovecot delays what it refuses, by auth_failure_delay (2 s), whether the login
// exists or not. A slot of [auth.Gate] is taken as long, so have many, and
// Share 1: Dovecot does the work.
//
// What it said of a password is remembered for auth.Config.Cache.For, one minute as
// a rule: who is disabled meanwhile goes on for as long.
//
// The login is the user that Dovecot says it is, after auth_username_format and
// whatever a passdb makes of it: as that one it is limited and may send.
//
// Dovecot may say that a password is right and mean something else: that somebody
// may not log in (nologin), which is refused, or that another server is to
// judge (proxy), with any password; that is an error, and defers.
package dovecot
