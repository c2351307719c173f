package smtpguard

import (
	"io"
	"slices"
	"sync"

	"github.com/emersion/go-smtp"
)

// settle turns what checks said of single recipients into what one delivery can
// do. It returns the checks that want the message marked for everybody, or the
// reply that refuses it for everybody.
func (tx *Transaction) settle(lmtp bool, contact string) (marks []string, refused *smtp.SMTPError) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	marks = slices.Clone(tx.marks)
	var weakest *Verdict
	objecting, marked := 0, 0
	for _, r := range tx.rcpts {
		switch {
		case r.Mark.Action.objects():
			objecting++
			if weakest == nil || r.Mark.Action < weakest.Action {
				weakest = &r.Mark
			}
		case r.Mark.Action == Quarantine:
			marked++
		}
	}
	if !lmtp && objecting > 0 {
		if objecting == len(tx.rcpts) {
			return nil, weakest.reply(StageData, contact)
		}
		for _, r := range tx.rcpts {
			if r.Mark.Action.objects() {
				r.Mark.Action = Quarantine
				marked++
			}
		}
	}
	if marked > 0 && marked == len(tx.rcpts) {
		for _, r := range tx.rcpts {
			if !slices.Contains(marks, r.Mark.Reason) {
				marks = append(marks, r.Mark.Reason)
			}
		}
	}
	return marks, nil
}

// deliverLMTP hands the content to the backend for those recipients that no
// check refused, each of which gets a reply of its own (RFC 2033, section 4.2).
// Its error is the reply for those that got none.
func (s *session) deliverLMTP(tx *Transaction, content io.Reader, status smtp.StatusCollector) error {
	col := &collector{s: s, next: status}
	rcpts := tx.Recipients()
	rest := rcpts[:0:0]
	for _, r := range rcpts {
		if r.Mark.Action.objects() {
			col.SetStatus(r.Addr, r.Mark.reply(StageData, s.b.guards[0].cfg.Contact))
		} else {
			rest = append(rest, r)
		}
	}
	var err error
	if len(rest) < len(rcpts) && len(rest) > 0 {
		rest, err = s.replay(tx, rest, col)
	}
	if err == nil && len(rest) > 0 {
		err = s.backend("LMTPData", func() error {
			if next, ok := s.next.(smtp.LMTPSession); ok {
				return next.LMTPData(content, col)
			}
			return s.next.Data(content)
		}, failure)
		if taken(err) && !col.all(len(rcpts)) {
			col.delivered = true
		}
	}
	if col.delivered {
		s.delivered(tx)
	} else if r, ok := err.(*smtp.SMTPError); ok {
		tx.end(StageData, r, "")
	} else {
		tx.end(StageData, col.refused, "")
	}
	return err
}

// replay gives the backend its transaction anew, with the recipients in rest
// alone: it must not deliver to one whose client was told otherwise.
func (s *session) replay(tx *Transaction, rest []*Recipient, col *collector) (kept []*Recipient, err error) {
	err = s.backend("Mail", func() error { s.next.Reset(); return s.next.Mail(tx.from, tx.opts) }, failure)
	if err != nil {
		return nil, err
	}
	for _, r := range rest {
		tx.judged = r // by a guard behind a foreign middleware
		if err := s.backend("Rcpt", func() error { return s.next.Rcpt(r.Addr, r.Opts) }, failure); err != nil {
			col.SetStatus(r.Addr, err)
			continue
		}
		kept = append(kept, r)
	}
	return kept, nil
}

// collector cleans what the backend says of each recipient.
type collector struct {
	s    *session
	next smtp.StatusCollector

	mu        sync.Mutex
	count     int
	delivered bool
	refused   *smtp.SMTPError // the first one
}

func (c *collector) SetStatus(rcpt string, err error) {
	if err != nil {
		err = c.s.backend("SetStatus", func() error { return err }, failure)
	}
	c.mu.Lock()
	c.count++
	if taken(err) {
		c.delivered = true
	} else if c.refused == nil {
		c.refused = err.(*smtp.SMTPError)
	}
	c.mu.Unlock()
	c.next.SetStatus(rcpt, err)
}

// all reports whether n recipients have their status.
func (c *collector) all(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count >= n
}
