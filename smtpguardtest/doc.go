// Package smtpguardtest answers: does my SMTP server, or my check, behave? It
// attacks a server over real connections and says which rule was broken, where
// that rule is written, and what the server answered.
//
//	func TestServer(t *testing.T) {
//		smtpguardtest.Run(t, smtpguardtest.Target{
//			Server:    newServer(),             // or Addr: "127.0.0.1:2525"
//			Recipient: "postmaster@example.org", // delivered here
//			Foreign:   "somebody@example.com",   // must not be relayed to
//			TLS:       &tls.Config{RootCAs: roots},
//			User:      "user", Password: "password",
//			Delivered: store.Messages,           // what came out
//		})
//	}
//
// Every case is a subtest of its own on a fresh connection; a case that needs a
// field of [Target] left empty is skipped and names it. [Protocol],
// [Smuggling], [OpenRelay], [Flood], [SlowClients], [StartTLS], [Sizes],
// [AuthAbuse] and [Spoofing] run one suite each, [Check] runs without a
// *testing.T, and [Suite] returns the cases as values.
//
// A server behind a listener of its own is given by Serve:
//
//	Serve: func(ln net.Listener) error {
//		guarded, err := guard.Listen(server, ln, smtpguard.ListenConfig{})
//		if err != nil {
//			return err
//		}
//		return server.Serve(guarded)
//	},
//
// The kit opens some hundreds of connections, one after the other, and sends
// floods on purpose: a limit on connections from its address has to be lifted,
// or [Target.ClientAddr] set.
//
// # Transcripts
//
// [Play] and [Client.Play] play a transcript, one step a line; white space
// before a step, empty lines and lines that begin with # are ignored.
//
//	C: text         send a line, CRLF added
//	C! "a\n" "b"*9  send octets as they are: Go strings, each repeated if *n follows
//	S: 250          read a reply, all its lines, with this code; "250 **" is the same
//	S: 4xx|5xx|EOF  read a reply with one of these codes (x is any digit), or the hang-up
//	S: 250-SIZE *   read one line of a reply; * is any text
//	S:              read a reply, any
//	CONNECT         open a new connection; the first step does so by itself
//	HELLO           read the banner, say EHLO (LHLO), read the reply
//	READY           HELLO, then whatever the target needs before MAIL
//	TLS             do a TLS handshake
//	STARTTLS        say STARTTLS, do the handshake, say EHLO
//	AUTH            log in with the target's User and Password
//	HALFCLOSE       end the client's half of the connection
//	CLOSE           close the connection
//	WAIT 200ms      do nothing, no longer than Target.Timeout
//
// ${sender}, ${rcpt}, ${domain} (that of rcpt), ${foreign}, ${user}, ${plain}
// (the PLAIN message of the login) and ${case} (a name of this connection only)
// stand for the target's.
//
// A server that leaves the transcript causes a [*Mismatch]: the line, what was
// wanted and got, and the dialogue so far. [Record] plays the client's lines
// only and returns the dialogue, to compare servers.
//
// RFC 5321, RFC 1870 (SIZE), RFC 2033 (LMTP), RFC 2920 (PIPELINING), RFC 3030
// (CHUNKING), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 5802 (SCRAM), RFC 6409
// (submission), RFC 6531 (SMTPUTF8).
package smtpguardtest
