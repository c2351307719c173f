package blocklist

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Format is how the lines of a file are to be read. The zero value is Lines.
type Format string

const (
	Lines         Format = "lines"          // our own: see [Parse]
	DROP          Format = "drop"           // Spamhaus DROP: "192.0.2.0/24 ; SBL1"
	DROPJSON      Format = "drop-json"      // the same as JSON lines, with cidr and sblid
	IP4Set        Format = "ip4set"         // rbldnsd: IPv4 addresses, prefixes, ranges
	IP6Trie       Format = "ip6trie"        // rbldnsd: IPv6 prefixes
	DNSet         Format = "dnset"          // rbldnsd: domains
	Hosts         Format = "hosts"          // hosts(5): "0.0.0.0 ads.example"
	PostfixCIDR   Format = "postfix-cidr"   // cidr_table(5), with the actions of access(5)
	PostfixAccess Format = "postfix-access" // access(5), the source of an indexed table
	CSV           Format = "csv"            // one column of comma-separated values (RFC 4180)
)

// ParseConfig says how a file is to be read. The zero value of a field means
// its default.
type ParseConfig struct {
	Name   string // of the file, in problems
	Format Format
	Word   Word   // of entries whose line has no word of its own; Block
	Kind   Kind   // of entries, in the formats Lines and CSV; 0: as the value looks
	Column string // in the format CSV: the name in the header line, or the number from 1; "1"
	Source string // of all entries; Name
	Reason string // of entries whose line has none

	Strict bool // one bad line fails the whole; else it is passed over and reported

	MaxLine    int   // octets of a line; 4096
	MaxOctets  int64 // of the text, unpacked; 1 GiB
	MaxEntries int   // 5 million
}

// Problem is a line that could not be used.
type Problem struct {
	File string
	Line int
	Why  string
}

// String is "file:line: why".
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Why) }

// Report is what came of reading a file.
type Report struct {
	Lines    int // comments and empty ones too
	Entries  int
	Bad      int       // lines passed over
	Problems []Problem // the first 20 of them
}

// maxProblems bounds Report.Problems.
const maxProblems = 20

// Parse reads a file, which may be gzipped, and calls add with each entry. It
// returns the first error that ends the reading: of r, of add, of a bound, of a
// bad line where cfg.Strict says so. An error of add that wraps [ErrEntry] makes
// a bad line. What it reads may be hostile: it keeps no more than a line.
//
// The format Lines has one entry a line:
//
//	192.0.2.0/24                      # a reason
//	allow 192.0.2.7 until=2027-01-31
//	*.example.org
//	ann@example.org
//	hello:localhost
//
// A word before the value, block, allow or except, is the entry's own; until= (a
// day, or a time as in RFC 3339) is when it expires; a kind and a colon before
// the value say what it is where that cannot be seen.
func Parse(r io.Reader, cfg ParseConfig, add func(Entry) error) (Report, error) {
	cfg = cfg.filled()
	p := &parser{cfg: cfg, add: add}
	read, err := p.reader()
	if err != nil {
		return Report{}, fmt.Errorf("blocklist: %w", err)
	}
	text, err := unpacked(r)
	if err == nil {
		err = p.lines(bufio.NewReaderSize(&bounded{text, cfg.MaxOctets}, max(cfg.MaxLine, 16)), read)
	}
	if err != nil {
		return p.report, fmt.Errorf("blocklist: %s: %w", cfg.Name, err)
	}
	return p.report, nil
}

// ErrEntry is wrapped by what is wrong with one entry alone.
var ErrEntry = errors.New("no entry")

func (cfg ParseConfig) filled() ParseConfig {
	if cfg.Format == "" {
		cfg.Format = Lines
	}
	if cfg.Word == None {
		cfg.Word = Block
	}
	if cfg.Column == "" {
		cfg.Column = "1"
	}
	if cfg.Name == "" {
		cfg.Name = string(cfg.Format)
	}
	if cfg.Source == "" {
		cfg.Source = cfg.Name
	}
	if cfg.MaxLine == 0 {
		cfg.MaxLine = 4096
	}
	if cfg.MaxOctets == 0 {
		cfg.MaxOctets = 1 << 30
	}
	if cfg.MaxEntries == 0 {
		cfg.MaxEntries = 5_000_000
	}
	return cfg
}

// validate says what is wrong with a filled cfg, naming the field.
func (cfg *ParseConfig) validate() error {
	var errs []error
	bad := func(field string, v any, why string) {
		errs = append(errs, fmt.Errorf("%s is %v: %s", field, v, why))
	}
	if _, err := (&parser{cfg: *cfg}).reader(); err != nil {
		errs = append(errs, err)
	}
	if cfg.Word.order() == 0 {
		bad("Word", int(cfg.Word), "is neither Block nor Allow nor Except")
	}
	if cfg.Kind > Fingerprint {
		bad("Kind", int(cfg.Kind), "is no Kind")
	}
	if cfg.Kind != 0 && cfg.Format != Lines && cfg.Format != CSV {
		bad("Kind", cfg.Kind, "the format "+string(cfg.Format)+" has kinds of its own")
	}
	if cfg.MaxLine < 64 || cfg.MaxLine > 1<<20 {
		bad("MaxLine", cfg.MaxLine, "must be between 64 and 1048576")
	}
	if cfg.MaxOctets < 0 {
		bad("MaxOctets", cfg.MaxOctets, "must not be negative")
	}
	if cfg.MaxEntries < 0 {
		bad("MaxEntries", cfg.MaxEntries, "must not be negative")
	}
	return errors.Join(errs...)
}

// unpacked is r, or what is in it where it is gzipped (RFC 1952).
func unpacked(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(2)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return gzip.NewReader(b)
	}
	return b, nil
}

// bounded fails when more than left octets come.
type bounded struct {
	r    io.Reader
	left int64
}

var errTooLarge = errors.New("is larger than MaxOctets")

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// parser reads one file.
type parser struct {
	cfg    ParseConfig
	add    func(Entry) error
	report Report

	unset  string       // reason of rbldnsd's ":A:text" lines
	column int          // of CSV, from 0; -1: the header has yet to say
	cover  *prefixCover // of cidr tables, where the first line that fits counts
	at     int          // the line that is judged
	held   string       // a logical line of Postfix's that may go on
	heldAt int          // where it began
}

// reader is how a line of the format is read; "" asks for what is held back,
// at the end.
func (p *parser) reader() (func(line string) error, error) {
	switch p.cfg.Format {
	case Lines:
		return p.line, nil
	case DROP:
		return p.drop, nil
	case DROPJSON:
		return p.dropJSON, nil
	case IP4Set, IP6Trie, DNSet:
		return p.rbldnsd, nil
	case Hosts:
		return p.hostsLine, nil
	case PostfixCIDR, PostfixAccess:
		return p.postfix, nil
	case CSV:
		return p.csv, p.chooseColumn()
	}
	return nil, fmt.Errorf("Format is %.40q: there is none of that name", p.cfg.Format)
}

// lines reads line by line. A line too long is a bad one, and none of it is
// looked at.
func (p *parser) lines(r *bufio.Reader, read func(string) error) error {
	for {
		raw, err := r.ReadSlice('\n')
		if err == io.EOF && len(raw) == 0 {
			return p.end(read)
		}
		p.report.Lines++
		p.at = p.report.Lines
		long := err == bufio.ErrBufferFull || len(raw) > p.cfg.MaxLine
		for err == bufio.ErrBufferFull {
			_, err = r.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return err
		}
		problem := fmt.Errorf("%w: a line of over %d octets", ErrEntry, p.cfg.MaxLine)
		if !long {
			if p.report.Lines == 1 {
				raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
			}
			problem = read(strings.TrimRight(string(raw), "\r\n"))
		}
		if err := p.judge(problem); err != nil {
			return err
		}
	}
}

// end gives Postfix's reader what it held back.
func (p *parser) end(read func(string) error) error {
	if p.held == "" {
		return nil
	}
	return p.judge(read(""))
}

// judge counts a bad line, or returns what ends the reading.
func (p *parser) judge(err error) error {
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrEntry) {
		return fmt.Errorf("line %d: %w", p.at, err)
	}
	p.report.Bad++
	problem := Problem{p.cfg.Name, p.at, oneLine(strings.TrimPrefix(err.Error(), ErrEntry.Error()+": "))}
	if len(p.report.Problems) < maxProblems {
		p.report.Problems = append(p.report.Problems, problem)
	}
	if p.cfg.Strict {
		return fmt.Errorf("line %d: %s", p.at, problem.Why)
	}
	return nil
}

// enter adds an entry with what it has not said itself.
func (p *parser) enter(e Entry) error {
	if p.report.Entries >= p.cfg.MaxEntries {
		return fmt.Errorf("more than %d entries", p.cfg.MaxEntries)
	}
	if e.Word == None {
		e.Word = p.cfg.Word
	}
	if e.Reason == "" {
		e.Reason = p.cfg.Reason
	}
	e.Source = p.cfg.Source
	if err := p.add(e); err != nil {
		return err
	}
	p.report.Entries++
	return nil
}

// wrong is why a line is no entry; text is what of it, in part.
func wrong(text, why string) error { return fmt.Errorf("%w: %.80q %s", ErrEntry, text, why) }
