package smtpguard

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"runtime"
	"time"

	"github.com/emersion/go-smtp"
)

// Data receives the content over SMTP.
func (s *session) Data(r io.Reader) error { return s.data(r, nil) }

// LMTPData receives the content over LMTP, with a reply for each recipient.
func (s *session) LMTPData(r io.Reader, status smtp.StatusCollector) error { return s.data(r, status) }

// data receives the content whole, has it judged, and hands it to the backend.
//
// For a BDAT transfer it runs in a goroutine of go-smtp's, beside commands that
// may abort the transfer and begin the next one. go-smtp would take what an
// aborted call returns for the next transfer's result, so such a call never
// returns; nor does one with a refusal before the transfer is over.
func (s *session) data(r io.Reader, status smtp.StatusCollector) error {
	c := s.conn
	_, bdat := r.(*io.PipeReader)
	bdat = bdat || s.outer && !s.first() // for a middleware outside may have put its reader around the pipe
	if w := c.wire; w != nil && s.outer {
		w.enterBody(bdat)
		if bdat {
			defer w.leaveBody()
		}
	}
	if bdat {
		// A read of nothing waits for the transfer's first octet or its end: until
		// it is taken go-smtp runs no other command, so the transaction is the right one.
		if _, err := r.Read(nil); errors.Is(err, smtp.ErrDataReset) {
			return s.leave(err)
		}
	}
	tx := c.Transaction()
	if tx == nil || c.dead.Load() {
		return errGone
	}
	if !s.outer {
		return s.inner(tx, r, status)
	}
	if !tx.begin() {
		return errGone
	}
	defer s.over(tx) // a hook may leave by runtime.Goexit
	err := s.receive(tx, r, bdat)
	if errors.Is(err, smtp.ErrDataReset) {
		s.over(tx)
		return s.leave(err)
	}
	if err == nil {
		err = s.deliver(tx, status)
	} else {
		tx.end(StageData, err.(*smtp.SMTPError), tx.by())
	}
	return err
}

// leave ends a call whose transfer was aborted. Where the connection lives on,
// go-smtp is past waiting for a result and must not get one; where it was
// closed, it may be waiting.
func (s *session) leave(err error) error {
	if s.conn.SMTP().Session(); !s.conn.isClosed() { // Session waits for go-smtp to be done with the reset
		runtime.Goexit()
	}
	return err
}

// begin marks that Data runs, unless Reset was first.
func (tx *Transaction) begin() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.inData = !tx.ended
	return tx.inData
}

// over marks that Data is done, and finishes a transaction that was ended
// meanwhile. More calls do nothing.
func (s *session) over(tx *Transaction) {
	tx.mu.Lock()
	ended := tx.inData && tx.ended
	tx.inData = false
	tx.mu.Unlock()
	if ended {
		s.account(tx)
		close(tx.gone)
	}
}

// by is the check that objected to the content.
func (tx *Transaction) by() string {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.outcome.By
}

// receive spools the content. Its error is the reply to give, or ErrDataReset.
func (s *session) receive(tx *Transaction, r io.Reader, bdat bool) error {
	c, g := s.conn, s.b.guards[0]
	w := c.wire
	direct := (*contentDirect)(nil)
	if !bdat {
		direct = s.direct()
	}
	switch {
	case direct != nil:
		r = direct
	case w != nil && !bdat && s.first() && !w.allowPipelining():
		s.prompt = promptReader{r: r, s: s, reads: w.reads()}
		r = &s.prompt
	}
	in := intake{octets: g.cfg.octets(c), size: tx.opts.Size, utf8: tx.opts.UTF8}
	if g.cfg.Observe != nil {
		in.note = func(what string) { s.note(KindNote, what, nil) }
	}
	msg, err := g.spool.receive(r, in)
	if err == nil {
		if w == nil || !bdat || !w.truncated(c.tlsConn()) {
			tx.mu.Lock()
			tx.message = msg
			tx.mu.Unlock()
			return nil
		}
		msg.close()
		err = io.ErrUnexpectedEOF
	}
	if direct != nil {
		direct.skip()
	}
	if bdat && !errors.Is(err, smtp.ErrDataReset) {
		if _, e := io.Copy(io.Discard, r); errors.Is(e, smtp.ErrDataReset) {
			return e
		}
	}
	if errors.Is(err, smtp.ErrDataReset) {
		return err
	}
	var ref *refusal
	if errors.As(err, &ref) {
		s.note(KindNote, ref.reason, ref.err)
		ref.reply.Message = signed(ref.reply.Message, g.cfg.Contact)
		return ref.reply
	}
	var known *smtp.SMTPError
	if errors.As(err, &known) {
		s.note(KindNote, "content refused", err)
		if known.Code == 421 {
			c.hangUp()
		}
		return known
	}
	// The rest of the content would be taken for commands.
	s.note(KindNote, "content broke off", err)
	c.hangUp()
	if errors.Is(err, smtp.ErrTooLongLine) {
		return reply(500, smtp.EnhancedCode{5, 5, 2}, "Line too long")
	}
	return reply(421, smtp.EnhancedCode{4, 4, 2}, "Message not received whole")
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

// tlsConn is the TLS connection go-smtp reads, nil in clear text.
func (c *Conn) tlsConn() *tls.Conn {
	tc, _ := c.SMTP().Conn().(*tls.Conn)
	return tc
}

// deliver judges the message and hands it to the backend. Its error is the
// reply to give.
func (s *session) deliver(tx *Transaction, status smtp.StatusCollector) error {
	c, g := s.conn, s.b.guards[0]
	msg := tx.Message()
	msg.Strip(quarantineField, nil) // nobody but us says it
	if err := msg.Prepend(s.received(tx)); err != nil {
		s.note(KindWarning, "cannot write the Received field", err)
		return tx.fail(failure())
	}
	if obj := s.ask(&scene{stage: StageData, conn: c, tx: tx, msg: msg}); obj != nil {
		tx.end(StageData, obj.reply, obj.check)
		return obj.reply
	}
	marks, err := tx.settle(status != nil, g.cfg.Contact)
	if err != nil {
		return tx.fail(err)
	}
	if len(marks) > 0 {
		if err := msg.Prepend(quarantineStamp(marks)); err != nil {
			s.note(KindWarning, "cannot write the quarantine field", err)
			return tx.fail(failure())
		}
	}
	if err := msg.seal(tx); err != nil {
		s.note(KindWarning, "signing failed", err)
		return tx.fail(failure())
	}
	if status != nil {
		return s.deliverLMTP(tx, msg.edited(), status)
	}
	said := s.toBackend(tx, StageData, "Data", func() error { return s.next.Data(msg.edited()) })
	if taken(said) {
		s.delivered(tx)
	}
	return said
}

// fail notes how the transaction ends and returns r.
func (tx *Transaction) fail(r *smtp.SMTPError) error {
	tx.end(StageData, r, "")
	return r
}

// delivered notes that the backend has the message.
func (s *session) delivered(tx *Transaction) {
	tx.end(StageData, nil, "")
	s.conn.errors /= 2
	if w := s.conn.wire; w != nil {
		w.progress()
	}
}

// finish ends tx: no later command belongs to it. What is left of it is
// accounted for at once, or by Data when that still runs.
func (s *session) finish(tx *Transaction) {
	c := s.conn
	c.mu.Lock()
	if c.tx == tx {
		c.tx = nil
	}
	c.mu.Unlock()
	if w := c.wire; w != nil {
		w.setBusy(false)
	}
	tx.mu.Lock()
	again, running := tx.ended, tx.inData
	tx.ended = true
	if tx.cancel != nil {
		tx.cancel()
	}
	if !again && running {
		tx.gone = make(chan struct{})
		c.leaving.Store(tx)
	}
	tx.mu.Unlock()
	if !again && !running {
		s.account(tx)
	}
}

// account tells the checks and the operator how tx ended, and lets the content
// go.
func (s *session) account(tx *Transaction) {
	c := s.conn
	defer c.accounted()
	msg := tx.Message()
	guards := c.known()
	if !accounts(guards, func(c *Check) bool { return c.Done != nil }) {
		if msg != nil {
			msg.close()
		}
		return
	}
	s.tell(tx, guards)
}

// owe notes that something begins that is to be accounted for.
func (c *Conn) owe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owed++
}

// accounted notes that one transaction or login is.
func (c *Conn) accounted() {
	c.mu.Lock()
	c.owed--
	c.mu.Unlock()
	c.settled()
}

// tell is the part of account for when there is somebody to tell.
func (s *session) tell(tx *Transaction, guards []*Guard) {
	c, msg := s.conn, tx.Message()
	ev, outcome := tx.summary()
	c.accounting.do(func() {
		if msg != nil {
			defer msg.close()
		}
		defer s.b.guards[0].observe(ev)
		c.each(guards, "Done", func(ctx context.Context, check *Check) {
			if check.Done != nil {
				check.Done(ctx, tx, outcome)
			}
		})
	})
}

// summary is the event that ends a transaction, and how it ended. A command that
// runs beside Server.Close may change what it says afterwards.
func (tx *Transaction) summary() (Event, Outcome) {
	ev := tx.conn.event(KindTransaction)
	ev.Transaction, ev.From, ev.Duration = tx.ID(), tx.from, time.Since(tx.started)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	for _, r := range tx.rcpts {
		ev.Recipients = append(ev.Recipients, r.Addr)
	}
	for _, r := range tx.refused {
		ev.Refused = append(ev.Refused, r.Addr)
	}
	if tx.message != nil {
		ev.Size = tx.message.Size()
	}
	o := tx.outcome
	ev.Delivered, ev.Stage, ev.Check, ev.Checks = o.Delivered, o.Stage, o.By, tx.results
	switch {
	case o.Reply != nil:
		ev.Reply = replyText(o.Reply)
	case o.Delivered:
		ev.Reply = "250"
	default:
		ev.Reply = "aborted"
	}
	switch {
	case o.Delivered && len(tx.marks) > 0:
		ev.Action = Quarantine
	case o.Delivered || o.Reply == nil:
	case o.Reply.Code/100 == 4:
		ev.Action = Defer
	default:
		ev.Action = Reject
	}
	return ev, o
}
