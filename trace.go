package smtpguard

import (
	"crypto/tls"
	"time"

	"github.com/smtpguard/smtpguard/internal/peer"
)

// received makes the Received field of tx.
func (s *session) received(tx *Transaction) string {
	c := s.conn
	t := &trace{hello: c.Hello(), addr: c.Addr(), hostname: s.hostname(), id: tx.ID(), rcpt: tx.only(), at: time.Now()}
	c.mu.Lock()
	t.channel = c.channel
	c.mu.Unlock()
	_, login := c.Login()
	esmtp := c.wire == nil || c.wire.esmtp()
	t.protocol = protocolWord(c.SMTP().Server().LMTP, esmtp, tx.opts.UTF8, t.channel != nil, login)
	return receivedField(t)
}

// channelOf says what was negotiated. It stands apart because a ConnectionState
// is large, and a stack that must grow for it costs more than all the rest of a
// small session in clear text.
//
//go:noinline
func channelOf(tc *tls.Conn) *peer.Channel {
	state := tc.ConnectionState()
	return peer.ChannelOf(&state)
}

// hostname is our name.
func (s *session) hostname() string {
	if h := s.b.guards[0].cfg.Hostname; h != "" {
		return h
	}
	return s.conn.SMTP().Server().Domain
}
