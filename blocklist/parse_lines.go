package blocklist

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// plainLine reads a line of FormatLines.
func (p *parsing) plainLine(text string) (err error) {
	text, reason := cutComment(text)
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil
	}
	e := Entry{Reason: reason}
	if len(fields) > 1 && e.Word.UnmarshalText([]byte(fields[0])) == nil && e.Word != None {
		fields = fields[1:]
	} else {
		e.Word = None
	}
	if len(fields) > 1 && e.Kind.UnmarshalText([]byte(fields[0])) == nil {
		fields = fields[1:]
	}
	e.Value = fields[0]
	for _, option := range fields[1:] {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "expires":
			e.Expires, err = parseTime(value)
		case "added":
			e.Added, err = parseTime(value)
		default:
			err = errors.New("is no option")
		}
		if err != nil {
			return fmt.Errorf("%.80q %w", option, err)
		}
	}
	return p.emit(e)
}

// cutComment parts a line from the comment that a '#' begins, at its start or
// after a blank.
func cutComment(line string) (text, comment string) {
	for i := 0; i < len(line); i++ {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i], strings.TrimSpace(line[i+1:])
		}
	}
	return line, ""
}

// parseTime reads a time of RFC 3339, or a date.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse(time.DateOnly, s)
	}
	if err != nil || t.IsZero() { // the library's error quotes the text
		return time.Time{}, errors.New("is neither a time of RFC 3339 nor a date")
	}
	return t, nil
}

// kindOf tells the kind of a value by its form.
func kindOf(value string) Kind {
	switch {
	case strings.IndexByte(value, '@') >= 0:
		return Mailbox
	case strings.HasPrefix(value, "["):
		return Hello
	}
	if _, err := normalFingerprint(value); err == nil {
		return Fingerprint
	}
	addr, _, _ := strings.Cut(value, "/")
	if _, err := netip.ParseAddr(addr); err == nil || strings.IndexByte(value, '/') >= 0 {
		return Addr
	}
	return Domain
}
