package smtpguard

import "time"

// received makes the Received field of tx.
func (s *session) received(tx *Transaction) string {
	c := s.conn
	t := trace{hello: c.Hello(), addr: c.Addr(), hostname: s.hostname(), id: tx.ID(), rcpt: tx.only(), at: time.Now()}
	state, secure := c.TLS()
	if secure {
		t.tls = &state
	}
	_, login := c.Login()
	esmtp := c.wire == nil || c.wire.esmtp()
	t.protocol = protocolWord(c.SMTP().Server().LMTP, esmtp, tx.opts.UTF8, secure, login)
	return receivedField(&t)
}

// hostname is our name.
func (s *session) hostname() string {
	if h := s.b.guards[0].cfg.Hostname; h != "" {
		return h
	}
	return s.conn.SMTP().Server().Domain
}
