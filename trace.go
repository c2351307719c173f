package smtpguard

import (
	"crypto/tls"
	"strings"
	"time"
)

// received makes the Received field of tx (RFC 5321, section 4.4).
func (s *session) received(tx *Transaction) string {
	c := s.conn
	t := trace{hello: c.Hello(), client: c.Addr(), host: s.hostname(), id: tx.ID(), with: s.protocol(tx), at: time.Now()}
	if state, ok := c.TLS(); ok {
		t.tls = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
	}
	if rcpts := tx.Recipients(); len(rcpts) == 1 {
		t.rcpt = rcpts[0].Addr
	}
	return receivedField(t)
}

// hostname is our name.
func (s *session) hostname() string {
	if h := s.b.guards[0].cfg.Hostname; h != "" {
		return h
	}
	if h := s.conn.SMTP().Server().Domain; validDomain(h) {
		return h
	}
	return "localhost"
}

// protocol is the "with" keyword: RFC 3848; RFC 6531, section 4.3.
func (s *session) protocol(tx *Transaction) string {
	c := s.conn
	var b strings.Builder
	lmtp := c.SMTP().Server().LMTP
	switch {
	case tx.opts.UTF8 && lmtp:
		b.WriteString("UTF8LMTP")
	case tx.opts.UTF8:
		b.WriteString("UTF8SMTP")
	case lmtp:
		b.WriteString("LMTP")
	case c.wire != nil && !c.wire.esmtp():
		return "SMTP"
	default:
		b.WriteString("ESMTP")
	}
	if _, ok := c.TLS(); ok {
		b.WriteByte('S')
	}
	if _, ok := c.Login(); ok {
		b.WriteByte('A')
	}
	return b.String()
}
