package report

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// Reporter is who reports (RFC 9990, section 3.1.1.3).
type Reporter struct {
	Organization string
	Email        string // whom to ask
	Contact      string // more about that; "" means nothing
	Domain       string // of the receiver, which names of reports begin with
	Generator    string // the program and its version; "" means nothing
}

// Config is how a Collector works. Reporter has to be set.
type Config struct {
	Store    Store // nil means a Memory
	Reporter Reporter

	Period time.Duration // that a report is about, a divisor of 24 hours; 0 means a day of UTC
	Legacy bool          // write the XML of RFC 7489 instead of RFC 9990's
	Octets int           // most of a packed report; 0 means 10 MiB
}

// Collector counts messages until they are reported. It is safe for concurrent
// use.
type Collector struct {
	store    Store
	reporter Reporter
	period   time.Duration
	legacy   bool
	octets   int
}

// New returns a Collector. It reports every field of cfg that is wrong.
func New(cfg Config) (*Collector, error) {
	c := &Collector{store: cfg.Store, reporter: cfg.Reporter, period: cfg.Period, legacy: cfg.Legacy, octets: cfg.Octets}
	if c.store == nil {
		c.store = new(Memory)
	}
	var errs []error
	name, err := domain.Normal(c.reporter.Domain)
	if err != nil {
		errs = append(errs, fmt.Errorf("report: Reporter.Domain %q: %w", c.reporter.Domain, err))
	}
	c.reporter.Domain = name
	if c.reporter.Organization == "" {
		errs = append(errs, errors.New("report: Reporter.Organization: missing"))
	}
	if !strings.Contains(c.reporter.Email, "@") {
		errs = append(errs, fmt.Errorf("report: Reporter.Email %q: no address", c.reporter.Email))
	}
	const day = 24 * time.Hour
	switch {
	case c.period == 0:
		c.period = day
	case c.period < time.Second || day%c.period != 0:
		errs = append(errs, fmt.Errorf("report: Period %v: not a part of a day", c.period))
	}
	switch {
	case c.octets == 0:
		c.octets = 10 << 20
	case c.octets < 0:
		errs = append(errs, errors.New("report: Octets: must not be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// Message is one that was checked.
type Message struct {
	Outcome      dmarc.Outcome
	Source       netip.Addr // the client
	EnvelopeFrom string     // domain of the reverse-path; "" for the null one
	EnvelopeTo   string     // domain of the forward-path; "" to tell nobody
}

// Batch is what one report is about.
type Batch struct {
	Begin, End time.Time // the last second of it
	Policy     Policy
	URIs       []dmarc.URI // where the record wants it sent

	key string
}

// batchKey is a Batch as the store knows it.
type batchKey struct {
	Begin  int64       `json:"begin"`
	End    int64       `json:"end"`
	Policy Policy      `json:"policy"`
	URIs   []dmarc.URI `json:"uris"`
}

const (
	maxKey = 32_000 // of the keys that are given to a store: bbolt takes a little more

	// maxBatch bounds those of batches, as all that are due are in memory at once.
	// Destinations that do not fit are left out: a receiver may limit to how many
	// it reports.
	maxBatch = 4 << 10
)

// Add counts m, if it is to be reported: a record applied to it that asks for
// reports, and it passed or failed.
func (c *Collector) Add(ctx context.Context, m Message) error { return c.add(ctx, &m, time.Now()) }

func (c *Collector) add(ctx context.Context, m *Message, now time.Time) error {
	o := &m.Outcome
	if o.Record == nil || len(o.Record.Aggregate) == 0 || o.Result != dmarc.Pass && o.Result != dmarc.Fail {
		return nil
	}
	batch, err := c.batchOf(o, now)
	if err != nil || batch == nil {
		return err
	}
	row, err := json.Marshal(rowOf(m))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if len(row) > maxKey {
		row = nil // it is counted as one that found no room
	}
	err = c.store.Add(ctx, string(batch), string(row), 1)
	if errors.Is(err, ErrFull) {
		err = errors.Join(err, c.store.Add(ctx, string(batch), "", 1))
	}
	return err
}

// batchOf is the key of the batch that a message is of, nil where its record has
// no destination of a usual size.
func (c *Collector) batchOf(o *dmarc.Outcome, now time.Time) ([]byte, error) {
	begin := now.UTC().Truncate(c.period)
	k := batchKey{begin.Unix(), begin.Add(c.period).Unix() - 1, policyOf(o), o.Record.Aggregate}
	for ; len(k.URIs) > 0; k.URIs = k.URIs[:len(k.URIs)-1] {
		batch, err := json.Marshal(k)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		if len(batch) <= maxBatch {
			return batch, nil
		}
	}
	return nil, nil
}

// Due yields the batches whose time ended before now, the oldest first.
func (c *Collector) Due(ctx context.Context, now time.Time) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		var due []Batch
		for key, err := range c.store.Batches(ctx) {
			if err != nil {
				yield(Batch{}, fmt.Errorf("report: %w", err))
				return
			}
			var k batchKey
			if err := json.Unmarshal([]byte(key), &k); err != nil {
				if !yield(Batch{}, fmt.Errorf("report: a batch in the store: %w", err)) {
					return
				}
				continue
			}
			if k.End < now.Unix() {
				due = append(due, Batch{time.Unix(k.Begin, 0).UTC(), time.Unix(k.End, 0).UTC(), k.Policy, k.URIs, key})
			}
		}
		slices.SortFunc(due, func(a, b Batch) int {
			return cmp.Or(a.Begin.Compare(b.Begin), cmp.Compare(a.key, b.key))
		})
		for _, b := range due {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// Done forgets a batch: its report was sent, or never will be.
func (c *Collector) Done(ctx context.Context, b Batch) error {
	return c.store.Delete(ctx, b.key)
}

// Write writes the XML of a report as it reads the rows of b, and returns how many
// there were. A batch without rows is an error.
func (c *Collector) Write(ctx context.Context, w io.Writer, b Batch) (rows int, err error) {
	f := Feedback{
		Organization: c.reporter.Organization, Email: c.reporter.Email, Contact: c.reporter.Contact,
		Generator: c.reporter.Generator, ID: c.id(b), Begin: b.Begin, End: b.End, Policy: b.Policy,
	}
	lost, damaged, err := c.missing(ctx, b)
	switch {
	case err != nil:
		return 0, err
	case damaged > 0:
		f.Error = fmt.Sprintf("%d messages are not in this report, for want of room and for damage", lost+damaged)
	case lost > 0:
		f.Error = fmt.Sprintf("%d messages are not in this report, for want of room", lost)
	}
	x := newWriter(w, c.legacy)
	x.begin(&f)
	for count, err := range c.store.Rows(ctx, b.key) {
		if err != nil {
			return rows, fmt.Errorf("report: %w", err)
		}
		if !isRow(count.Row) {
			continue
		}
		var row Row
		if err := json.Unmarshal([]byte(count.Row), &row); err != nil {
			if !json.Valid([]byte(count.Row)) {
				continue // damaged, as was told
			}
			return rows, fmt.Errorf("report: a row in the store: %w", err)
		}
		row.Count = count.N
		if x.row(&row); x.err != nil {
			return rows, x.err
		}
		rows++
	}
	if rows == 0 {
		return 0, errors.New("report: no rows")
	}
	return rows, x.end()
}

// missing counts the messages that found no room, and those whose row was
// damaged: that is told in front of the rows.
func (c *Collector) missing(ctx context.Context, b Batch) (lost, damaged int64, err error) {
	for count, err := range c.store.Rows(ctx, b.key) {
		if err != nil {
			return 0, 0, fmt.Errorf("report: %w", err)
		}
		if count.Row == "" {
			lost = count.N
		} else if isRow(count.Row) && !json.Valid([]byte(count.Row)) {
			damaged += count.N
		}
	}
	return lost, damaged, nil
}

// isRow tells the rows of a store from the count of what found no room, and from
// the marks of Deliver. A row is JSON.
func isRow(key string) bool { return strings.HasPrefix(key, "{") }

// id is the identifier of the report, the same each time.
func (c *Collector) id(b Batch) string {
	return fmt.Sprintf("%d-%s@%s", b.Begin.Unix(), unique(b), c.reporter.Domain)
}

// unique tells batches of one policy domain and time apart.
func unique(b Batch) string {
	sum := sha256.Sum256([]byte(b.key))
	return fmt.Sprintf("%x", sum[:8])
}

// Attachment is a report ready to be sent.
type Attachment struct {
	Name      string // RFC 9990, section 3.5.2
	MediaType string
	Subject   string // of the mail it goes with
	ID        string // of the report
	Rows      int
	Content   []byte // packed with gzip
}

// ErrTooLarge is that a report has more octets than allowed.
var ErrTooLarge = errors.New("report: too large")

// Attachment writes the report of b, packed. It fails with ErrTooLarge where
// that is more than Config.Octets.
func (c *Collector) Attachment(ctx context.Context, b Batch) (Attachment, error) {
	buf := limited{most: c.octets}
	z := gzip.NewWriter(&buf)
	rows, err := c.Write(ctx, z, b)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return Attachment{}, err
	}
	id := c.id(b)
	return Attachment{
		Name:      fmt.Sprintf("%s!%s!%d!%d!%s.xml.gz", c.reporter.Domain, b.Policy.Domain, b.Begin.Unix(), b.End.Unix(), unique(b)),
		MediaType: "application/gzip", ID: id, Rows: rows, Content: buf.Bytes(),
		Subject: fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s>", b.Policy.Domain, c.reporter.Domain, id),
	}, nil
}

// limited is a buffer with a bound.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > l.most {
		return 0, ErrTooLarge
	}
	return l.Buffer.Write(p)
}
