package smtpguard

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Transaction is one MAIL to end of data. Checks leave results on it through a
// [Key].
type Transaction struct {
	conn    *Conn
	seq     uint64
	from    string
	opts    *smtp.MailOptions
	started time.Time

	keys slots

	mu      sync.Mutex
	rcpts   []*Recipient
	refused []Refusal
	room    [1]*Recipient // for rcpts: most mail has one
	message *Message
	marks   []string // who wants it quarantined
	ctx     context.Context
	cancel  context.CancelFunc
	ended   bool          // no later command belongs to it
	inData  bool          // Data runs, and finishes what Reset ended meanwhile
	gone    chan struct{} // closed when it has
	results []CheckResult
	outcome Outcome

	// Of the session's goroutine alone.
	accepted Scope
	asked    int        // RCPT commands
	judged   *Recipient // the one being judged
}

// Recipient is one forward-path.
type Recipient struct {
	Addr string // as go-smtp parsed it: quoted local parts arrive unquoted, so split at the last '@'
	Opts *smtp.RcptOptions

	// Policy names how Data-stage checks will treat this recipient; a Rcpt hook
	// sets it. One reply serves all recipients over SMTP, so one whose policy
	// differs from the first one's is deferred (452 4.5.3), and the client sends
	// it in a transaction of its own. Over LMTP each recipient has its reply.
	Policy string

	// Mark is what Data-stage checks say of this one recipient. Over LMTP it is
	// its reply. Over SMTP, where all marks object, the weakest is the reply;
	// where only some do, those become Quarantine, for the backend to act on.
	Mark Verdict
}

// Refusal is a forward-path that was not taken.
type Refusal struct {
	Addr  string          // as in Recipient
	Reply *smtp.SMTPError // what the client read
	By    string          // the check that objected, "" when it was the backend or the session layer
}

// Outcome is how a transaction ended.
type Outcome struct {
	Delivered bool            // the backend took it: 250
	Stage     Stage           // where it ended
	Reply     *smtp.SMTPError // what the client last read; nil when it was aborted (RSET, QUIT, hang-up), or accepted and the backend had no words of its own
	By        string          // the check that objected, below combinators its path ("when/spf"), "" when it was the backend or the client
}

// ID names the transaction in events and Received fields.
func (tx *Transaction) ID() string {
	var room [48]byte
	return string(tx.appendID(room[:0]))
}

func (tx *Transaction) appendID(b []byte) []byte {
	return strconv.AppendUint(append(tx.conn.appendID(b), '.'), tx.seq, 36)
}

// Conn is the connection the transaction runs on.
func (tx *Transaction) Conn() *Conn { return tx.conn }

// From is the reverse-path; "" is the null reverse-path.
func (tx *Transaction) From() string { return tx.from }

// Opts are the parameters of the MAIL command, never nil.
func (tx *Transaction) Opts() *smtp.MailOptions { return tx.opts }

// Started is when MAIL was received.
func (tx *Transaction) Started() time.Time { return tx.started }

// Recipients are those accepted so far. The slice is the caller's.
func (tx *Transaction) Recipients() []*Recipient {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return append([]*Recipient(nil), tx.rcpts...)
}

// Refused are the recipients that were not accepted, deferred ones too, the
// first 100 of them. The slice is the caller's.
func (tx *Transaction) Refused() []Refusal {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return append([]Refusal(nil), tx.refused...)
}

// Message is the content, nil before it has arrived.
func (tx *Transaction) Message() *Message {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.message
}

// Quarantined lists the checks that want the message quarantined, for all its
// recipients.
func (tx *Transaction) Quarantined() []string {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return append([]string(nil), tx.marks...)
}

// Context ends with the transaction.
func (tx *Transaction) Context() context.Context {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.ctx == nil {
		tx.ctx, tx.cancel = context.WithCancel(tx.conn.Context())
		if tx.ended {
			tx.cancel()
		}
		for _, g := range tx.conn.known() {
			tx.ctx = g.add(tx.ctx, tx.conn)
		}
	}
	return tx.ctx
}

// add is ctx with what Config.Context adds to it. A panic there adds nothing.
func (g *Guard) add(ctx context.Context, c *Conn) (more context.Context) {
	if g.cfg.Context == nil {
		return ctx
	}
	defer func() {
		if p := recover(); p != nil || more == nil {
			more = ctx
		}
	}()
	return g.cfg.Context(ctx, c)
}

func (tx *Transaction) slots() *slots { return &tx.keys }

// open begins a transaction.
func (c *Conn) open(from string, opts *smtp.MailOptions) *Transaction {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.txSeq++
	c.owed++
	c.tx = &Transaction{conn: c, seq: c.txSeq, from: from, opts: opts, started: time.Now()}
	c.tx.marks = append(c.tx.marks, c.marks...)
	c.tx.results, c.results = c.results, nil
	return c.tx
}

// end notes how the transaction ends; the first word counts.
func (tx *Transaction) end(stage Stage, r *smtp.SMTPError, by string) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.outcome.Stage != StageData && tx.outcome.Stage != StageMail {
		tx.outcome = Outcome{Stage: stage, Reply: r, By: by, Delivered: stage == StageData && (r == nil || r.Code/100 == 2)}
	}
}

// refuse notes that the recipient at addr was refused, in case nothing more
// comes of the transaction.
func (tx *Transaction) refuse(addr string, r *smtp.SMTPError, by string) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.outcome = Outcome{Stage: StageRcpt, Reply: r, By: by}
	if len(tx.refused) < maxRefused {
		tx.refused = append(tx.refused, Refusal{addr, r, by})
	}
}

// maxRefused bounds the refused recipients that are remembered.
const maxRefused = 100

// add takes rcpt up.
func (tx *Transaction) add(rcpt *Recipient) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.rcpts == nil {
		tx.rcpts = tx.room[:0]
	}
	tx.rcpts = append(tx.rcpts, rcpt)
}

// only is the recipient's address where there is just one, else "".
func (tx *Transaction) only() string {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if len(tx.rcpts) != 1 {
		return ""
	}
	return tx.rcpts[0].Addr
}

// first is the first recipient accepted, nil before it.
func (tx *Transaction) first() *Recipient {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if len(tx.rcpts) == 0 {
		return nil
	}
	return tx.rcpts[0]
}
