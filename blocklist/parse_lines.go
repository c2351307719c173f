package blocklist

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// line reads a line of our own format.
func (p *parser) line(line string) error {
	line, reason, _ := strings.Cut(line, "#")
	fields := strings.Fields(line)
	e := Entry{Kind: p.cfg.Kind, Reason: strings.TrimSpace(reason)}
	if len(fields) == 0 {
		return nil
	}
	if len(fields) > 1 {
		switch strings.ToLower(fields[0]) {
		case "block":
			e.Word = Block
		case "allow":
			e.Word = Allow
		case "except":
			e.Word = Except
		}
		if e.Word != None {
			fields = fields[1:]
		}
	}
	for _, f := range fields[1:] {
		date, ok := strings.CutPrefix(f, "until=")
		if !ok {
			return wrong(f, "is neither until= nor, behind a '#', a reason")
		}
		t, err := time.Parse(time.DateOnly, date)
		if err != nil {
			t, err = time.Parse(time.RFC3339, date)
		}
		if err != nil {
			return wrong(f, "is no day such as until=2027-01-31, and no time")
		}
		e.Expires = t
	}
	e.Value = fields[0]
	return p.enter(e.guessed())
}

// guessed is e with the kind that its value says or looks like, where it has
// none.
func (e Entry) guessed() Entry {
	if e.Kind != 0 {
		return e
	}
	if name, rest, ok := strings.Cut(e.Value, ":"); ok {
		for k := Addr; k <= Fingerprint; k++ {
			if strings.EqualFold(name, k.String()) {
				e.Kind, e.Value = k, rest
				return e
			}
		}
	}
	switch _, err := normalPrefix(e.Value); {
	case err == nil:
		e.Kind = Addr
	case strings.Contains(e.Value, "@"):
		e.Kind = Mailbox
	case strings.HasPrefix(e.Value, "["):
		e.Kind = Hello
	default:
		e.Kind = Domain
		if _, err := normalFingerprint(e.Value); err == nil {
			e.Kind = Fingerprint
		}
	}
	return e
}

// drop reads "192.0.2.0/24 ; SBL1".
func (p *parser) drop(line string) error {
	value, reason, _ := strings.Cut(line, ";")
	value = strings.TrimSpace(value)
	if value == "" {
		return nil
	}
	return p.enter(Entry{Kind: Addr, Value: value, Reason: strings.TrimSpace(reason)})
}

// dropJSON reads {"cidr":"192.0.2.0/24","sblid":"SBL1"}, and passes over lines
// of another type.
func (p *parser) dropJSON(line string) error {
	if strings.TrimSpace(line) == "" {
		return nil
	}
	var x struct {
		Type  string `json:"type"`
		CIDR  string `json:"cidr"`
		SBLID string `json:"sblid"`
	}
	if err := json.Unmarshal([]byte(line), &x); err != nil {
		return fmt.Errorf("%w: not JSON: %.100s", ErrEntry, err)
	}
	switch {
	case x.CIDR != "":
		return p.enter(Entry{Kind: Addr, Value: x.CIDR, Reason: x.SBLID})
	case x.Type != "":
		return nil
	}
	return wrong(line, "has neither cidr nor type")
}

// hostsLine reads "0.0.0.0 ads.example other.example # comment".
func (p *parser) hostsLine(line string) error {
	line, _, _ = strings.Cut(line, "#")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return nil
	}
	names := fields
	if addr, err := netip.ParseAddr(fields[0]); err == nil {
		if !addr.IsUnspecified() && !addr.IsLoopback() {
			return nil // a host that has an address: nobody means to block it
		}
		names = fields[1:]
	}
	var errs []error
	for _, name := range names {
		if ownName(name) {
			continue
		}
		if err := p.enter(Entry{Kind: Domain, Value: name}); err != nil {
			if !errors.Is(err, ErrEntry) {
				return err
			}
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return errs[0]
	}
	return nil
}

// ownName reports whether name is what hosts files call their own machine.
func ownName(name string) bool {
	switch strings.ToLower(name) {
	case "localhost", "localhost.localdomain", "local", "localdomain", "broadcasthost", "0.0.0.0":
		return true
	}
	return strings.HasPrefix(strings.ToLower(name), "ip6-")
}

// chooseColumn reads cfg.Column.
func (p *parser) chooseColumn() error {
	n, err := strconv.Atoi(p.cfg.Column)
	switch {
	case err != nil:
		p.column = -1
	case n < 1 || n > 1000:
		return fmt.Errorf("Column is %d: must be between 1 and 1000", n)
	default:
		p.column = n - 1
	}
	return nil
}

// csv reads one line of values; a quoted one cannot go on in the next.
func (p *parser) csv(line string) error {
	header := p.column < 0
	if header {
		line = strings.TrimLeft(line, "# ") // many have the header in a comment
	} else if strings.HasPrefix(line, "#") {
		return nil
	}
	if strings.TrimSpace(line) == "" {
		return nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.LazyQuotes, r.TrimLeadingSpace = true, true
	row, err := r.Read()
	if err != nil {
		if header {
			return nil
		}
		return fmt.Errorf("%w: %.100s", ErrEntry, err)
	}
	if header {
		for i, name := range row {
			if strings.EqualFold(strings.TrimSpace(name), p.cfg.Column) {
				p.column = i
			}
		}
		return nil
	}
	if p.column >= len(row) {
		return fmt.Errorf("%w: a line of %d values has no column %s", ErrEntry, len(row), p.cfg.Column)
	}
	value := strings.TrimSpace(row[p.column])
	if value == "" {
		return nil
	}
	return p.enter(Entry{Kind: p.cfg.Kind, Value: value}.guessed())
}
