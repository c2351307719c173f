package blocklist

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Format is how a file of entries is written. A file may be packed with gzip,
// whatever its format and name.
type Format string

const (
	// FormatLines is our own: an entry a line, and it is the zero Format.
	//
	//	192.0.2.0/24                                       # why it is here
	//	allow 192.0.2.7                                    # a partner
	//	*.dyn.example  expires=2027-01-31
	//	except mail.dyn.example
	//	hello ylmf-pc                                      # a botnet's EHLO name
	//	block mailbox ann@example.org expires=2027-01-31T12:00:00Z
	//
	// Before the value may stand a word (block, allow, except) and a kind (addr,
	// domain, hello, mailbox, fingerprint), behind it expires= and added= with a
	// time of RFC 3339 or a date, which is its first moment in UTC. A '#' at the
	// start of a line or after a blank begins the reason. Without a kind, "@"
	// makes a mail address, "[" an EHLO literal, and what is neither an address
	// nor a fingerprint is a domain.
	FormatLines Format = "lines"

	// FormatDROP is Spamhaus's DROP and EDROP, the text ("192.0.2.0/24 ; SBL123")
	// and the JSON lines (cidr, sblid); when these say how many records there
	// are, so many must be there.
	FormatDROP Format = "drop"

	// FormatIP4Set is rbldnsd's ip4set, which is ip4trie and ip4tset too:
	// addresses, prefixes, "192.0.2", "192.0.2.1-9"; "!" is an Except, and the
	// text of ":127.0.0.2:text" lines the reason of those that have none. Of the
	// lines that begin with $ it heeds $MAXRANGE4; a combined dataset ($DATASET)
	// is an error. Where the two overlap, the narrower range counts; rbldnsd
	// lets exclusions go first among ranges that end in the same octet.
	FormatIP4Set Format = "ip4set"

	// FormatIP6Trie is rbldnsd's ip6trie, which is ip6tset too.
	FormatIP6Trie Format = "ip6trie"

	// FormatDNSet is rbldnsd's dnset: domains, in the form that Domain has.
	FormatDNSet Format = "dnset"

	// FormatHosts is a hosts file: the names beside 0.0.0.0, ::, and loopback
	// addresses, but those that every host has. Other lines list nothing.
	FormatHosts Format = "hosts"

	// FormatCIDR is Postfix's cidr table (cidr_table(5)). OK, PERMIT and numbers
	// are Allow, DUNNO is Except, REJECT, 5NN, 4NN and DEFER are Block: whether to
	// refuse or to defer is then not the table's matter. The first line that fits
	// counts there, the most specific entry here: so a line that an earlier one
	// hides is a bad one. So is one with another action, which still keeps what
	// it fits from being listed. "if" and "!pattern" are an error.
	FormatCIDR Format = "cidr"

	// FormatAccess is the source of Postfix's access table (access(5)), with
	// actions as in FormatCIDR: addresses, "192.0.2", domains, "ann@example.org",
	// "ann@". Of the same patterns the first counts. A domain has all below it too, as it has by default in Postfix;
	// ParseConfig.Exact says otherwise.
	FormatAccess Format = "access"

	// FormatCSV has a value in one column (RFC 4180, without line breaks in
	// fields), told as in FormatLines. Lines that begin with '#' are comments.
	FormatCSV Format = "csv"
)

// ParseConfig says how a file is written, and what its entries say where they do
// not say it themselves. The zero ParseConfig reads FormatLines and blocks.
type ParseConfig struct {
	Format Format
	Name   string // of the file, for reports; "" is Source
	Source string // Entry.Source
	Kind   Kind   // of entries whose line does not tell; zero: of what its form and the format say
	Word   Word   // of entries whose line does not tell; None is Block
	Reason string // of entries that give none

	Exact bool // of FormatAccess: a domain does not fit what is below it

	// Of FormatCSV. A column is a name in the first line, or a number from 1.
	Column       string // has the value; "" is the first one
	ReasonColumn string // has the reason; "" is none
	Header       bool   // the first line is no entry; so it is where a column has a name
	Comma        byte   // between columns; 0 is ','

	Strict bool // a bad line is an error, else it is reported and left out

	MaxBytes   int64 // of the file, packed and unpacked; 0 is 1 GiB
	MaxLine    int   // octets in a line; 0 is 4,096
	MaxEntries int   // 0 is 10,000,000
}

// maxBadLines is how many bad lines a report has.
const maxBadLines = 20

// Report is what became of a file.
type Report struct {
	Entries int       // that were added
	Expired int       // that were over, and left out
	Bad     int       // lines that were left out
	Lines   []BadLine // the first 20 of them
}

// BadLine is a line that could not be read.
type BadLine struct {
	File string
	Line int    // from 1
	What string // is wrong with it, with at most 80 octets of it, quoted
}

// Error is "blocklist: file:line: what".
func (l BadLine) Error() string { return fmt.Sprintf("blocklist: %s:%d: %s", l.File, l.Line, l.What) }

// Parse reads a file and hands its entries to add, which is often [Builder.Add]:
// what add refuses is a bad line. The error says that the file could not be
// read to its end, is over a limit, or is not of the format: more lines are bad
// than give entries. What was added before stays added.
func Parse(r io.Reader, cfg ParseConfig, add func(Entry) error) (Report, error) {
	p := &parsing{ParseConfig: cfg, add: add, now: time.Now()}
	if err := p.defaults(); err != nil {
		return Report{}, err
	}
	f, err := p.format()
	if err != nil {
		return Report{}, err
	}
	err = p.lines(r, f)
	switch {
	case err != nil:
		err = p.bad(err)
	case p.report.Bad > p.report.Entries+p.report.Expired:
		err = fmt.Errorf("blocklist: %s: is not of format %s: %d lines are bad: line %d: %s",
			p.Name, p.Format, p.report.Bad, p.report.Lines[0].Line, p.report.Lines[0].What)
	}
	return p.report, err
}

// parsing is a file on its way.
type parsing struct {
	ParseConfig
	add    func(Entry) error
	now    time.Time
	line   int // the one at hand
	report Report
}

// format reads lines. An error that is no fatal one is of the line.
type format struct {
	line func(text string) error
	end  func() error // may be nil
}

// fatal is an error that ends the reading.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// defaults fills in what p leaves open, and reports what is wrong with it.
func (p *parsing) defaults() error {
	if p.Format == "" {
		p.Format = FormatLines
	}
	if p.Name == "" {
		p.Name = p.Source
	}
	if p.Word == None {
		p.Word = Block
	}
	if p.MaxBytes == 0 {
		p.MaxBytes = 1 << 30
	}
	if p.MaxLine == 0 {
		p.MaxLine = 4096
	}
	if p.MaxEntries == 0 {
		p.MaxEntries = 10_000_000
	}
	if p.Comma == 0 {
		p.Comma = ','
	}
	var errs []error
	bad := func(field, what string) { errs = append(errs, fmt.Errorf("blocklist: %s %s", field, what)) }
	if p.Kind > Fingerprint {
		bad("Kind", "is not known")
	}
	if p.Word.order() == 0 {
		bad("Word", "is not known")
	}
	if p.MaxBytes < 0 || p.MaxLine < 0 || p.MaxEntries < 0 {
		bad("MaxBytes, MaxLine and MaxEntries", "must not be negative")
	}
	if strings.IndexByte("\"\r\n#", p.Comma) >= 0 {
		bad("Comma", "must be another character")
	}
	return errors.Join(errs...)
}

// format returns the reader of p.Format.
func (p *parsing) format() (format, error) {
	switch p.Format {
	case FormatLines:
		return format{line: p.plainLine}, nil
	case FormatDROP:
		return (&dropFile{parsing: p}).format(), nil
	case FormatIP4Set, FormatIP6Trie, FormatDNSet:
		return (&rbldnsdFile{parsing: p}).format(), nil
	case FormatHosts:
		return format{line: p.hostsLine}, nil
	case FormatCIDR, FormatAccess:
		return (&postfixFile{parsing: p}).format(), nil
	case FormatCSV:
		return (&csvFile{parsing: p}).format()
	}
	return format{}, fmt.Errorf("blocklist: Format %.40q is not known", p.Format)
}

func (p *parsing) lines(r io.Reader, f format) error {
	lines, err := newLineReader(r, p.MaxLine, p.MaxBytes)
	if err != nil {
		return err
	}
	for {
		text, err := lines.next()
		if err == io.EOF {
			break
		}
		p.line = lines.number
		if err == nil {
			err = f.line(text)
		} else if err != errLongLine {
			return err
		}
		if err := p.judge(err); err != nil {
			return err
		}
	}
	if f.end != nil {
		return p.judge(f.end())
	}
	return nil
}

// judge counts the error of a line, and returns it where it ends the reading.
func (p *parsing) judge(err error) error {
	if err == nil {
		return nil
	}
	var f fatal
	if p.Strict || errors.As(err, &f) {
		return err
	}
	p.report.Bad++
	if len(p.report.Lines) < maxBadLines {
		p.report.Lines = append(p.report.Lines, p.bad(err))
	}
	return nil
}

func (p *parsing) bad(err error) BadLine {
	return BadLine{p.Name, p.line, strings.TrimPrefix(err.Error(), "blocklist: ")}
}

// emit adds an entry, with what it leaves open.
func (p *parsing) emit(e Entry) error {
	if e.Kind == 0 {
		e.Kind = p.Kind
	}
	if e.Kind == 0 {
		e.Kind = kindOf(e.Value)
	}
	if e.Word == None {
		e.Word = p.Word
	}
	if e.Reason == "" {
		e.Reason = p.Reason
	}
	e.Source = p.Source
	if !e.Expires.IsZero() && !p.now.Before(e.Expires) {
		p.report.Expired++
		return nil
	}
	if p.report.Entries >= p.MaxEntries {
		return fatal{fmt.Errorf("has over %d entries", p.MaxEntries)}
	}
	if err := p.add(e); err != nil {
		return err
	}
	p.report.Entries++
	return nil
}

// or is kind, or instead where none is set.
func (k Kind) or(instead Kind) Kind {
	if k == 0 {
		return instead
	}
	return k
}
