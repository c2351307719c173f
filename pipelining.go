package smtpguard

import (
	"io"

	"github.com/emersion/go-smtp"
)

// What a client sent before it had read the reply that it had to see. In clear
// text the wire sees most of it first; under TLS only this can.

// waited refuses what was sent along with a command that nothing may be sent
// along with.
func (s *session) waited() error {
	if w := s.conn.wire; s.outer && w != nil && w.reads() == s.alone && !w.allowPipelining() {
		s.note(KindNote, "pipelined with EHLO or AUTH", nil)
		s.conn.hangUp()
		return reply(503, smtp.EnhancedCode{5, 5, 1}, "Sent before the reply to the last command")
	}
	return nil
}

// standAlone says that nothing may be sent along with the command under way.
func (s *session) standAlone() {
	if w := s.conn.wire; w != nil && s.outer {
		s.alone = w.reads()
	}
}

// promptReader sees content that was sent before the 354 (RFC 2920, section
// 3.1): its first octets were there without a read.
type promptReader struct {
	r     io.Reader
	s     *session
	reads uint64
	begun bool
}

func (p *promptReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if !p.begun && n > 0 {
		p.begun = true
		if p.s.conn.wire.reads() == p.reads {
			p.s.note(KindNote, "content pipelined with DATA", nil)
			p.s.conn.hangUp()
			return 0, reply(503, smtp.EnhancedCode{5, 5, 1}, "Content sent before the reply to DATA")
		}
	}
	return n, err
}
