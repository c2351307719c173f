package smtpguard

import (
	"crypto/tls"
	"time"
)

// received makes the Received field of tx.
func (s *session) received(tx *Transaction) string {
	c := s.conn
	t := &trace{hello: c.Hello(), addr: c.Addr(), hostname: s.hostname(), id: tx.ID(), rcpt: tx.only(), at: time.Now()}
	if tc := c.tlsConn(); tc != nil {
		t.tls = tlsWords(tc)
	}
	_, login := c.Login()
	esmtp := c.wire == nil || c.wire.esmtp()
	t.protocol = protocolWord(c.SMTP().Server().LMTP, esmtp, tx.opts.UTF8, t.tls != "", login)
	return receivedField(t)
}

// tlsWords says what was negotiated. It stands apart because a ConnectionState
// is large, and a stack that must grow for it costs more than all the rest of a
// small message in clear text.
//
//go:noinline
func tlsWords(tc *tls.Conn) string {
	state := tc.ConnectionState()
	return tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
}

// hostname is our name.
func (s *session) hostname() string {
	if h := s.b.guards[0].cfg.Hostname; h != "" {
		return h
	}
	return s.conn.SMTP().Server().Domain
}
