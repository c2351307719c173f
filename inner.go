package smtpguard

import (
	"io"
	"maps"
	"slices"

	"github.com/emersion/go-smtp"
)

// inner judges the content for a guard that stands behind another one, with a
// foreign middleware between them. What the outer one spooled is judged as it
// is, unless the middleware rewrote it. Recipients cannot be told apart here, for
// the middleware may have changed them: what checks say of some is taken as over
// SMTP.
func (s *session) inner(tx *Transaction, r io.Reader, status smtp.StatusCollector) error {
	msg := tx.Message()
	if cr, ok := r.(*contentReader); !ok || cr.c != msg.c {
		g := s.b.guards[0]
		m, err := g.spool.receive(r, intake{octets: OctetsAllow, utf8: true})
		if err != nil {
			s.note(KindWarning, "content from the outer middleware cannot be read", err)
			return failure()
		}
		defer m.close()
		msg = m
	} else {
		msg = msg.reopened()
	}
	stamped, _ := tx.settle(true, "")
	if obj := s.ask(&scene{stage: StageData, conn: s.conn, tx: tx, msg: msg}); obj != nil {
		tx.end(StageData, obj.reply, obj.check)
		return obj.reply
	}
	marks, refused := tx.settle(false, s.b.guards[0].cfg.Contact)
	if refused != nil {
		return tx.fail(refused)
	}
	marks = slices.DeleteFunc(marks, func(m string) bool { return slices.Contains(stamped, m) })
	if len(marks) > 0 {
		if err := msg.Prepend(quarantineStamp(marks)); err != nil {
			s.note(KindWarning, "cannot write the quarantine field", err)
			return failure()
		}
	}
	if err := msg.seal(tx); err != nil {
		s.note(KindWarning, "signing failed", err)
		return failure()
	}
	content := msg.edited()
	if next, ok := s.next.(smtp.LMTPSession); ok && status != nil {
		return next.LMTPData(content, status)
	}
	return s.toBackend(tx, StageData, "Data", func() error { return s.next.Data(content) })
}

// reopened is m for the checks of another guard, behind the one whose checks
// have run: the same content with the edits made so far, and room for more.
func (m *Message) reopened() *Message {
	m.edits.mu.Lock()
	defer m.edits.mu.Unlock()
	return &Message{c: m.c, borrowed: true, edits: edits{fields: slices.Clone(m.edits.fields), strip: maps.Clone(m.edits.strip)}}
}
