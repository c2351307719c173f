package blocklist

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// dropFile reads FormatDROP.
type dropFile struct {
	*parsing
	records  int  // JSON records so far
	announce int  // how many the file says it has
	counted  bool // it does
}

func (f *dropFile) format() format { return format{f.line, f.end} }

func (f *dropFile) line(text string) error {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		return f.record(text)
	}
	value, reason, _ := strings.Cut(text, ";")
	if value = strings.TrimSpace(value); value == "" {
		return nil
	}
	return f.emit(Entry{Kind: Addr, Value: value, Reason: strings.TrimSpace(reason)})
}

// record reads one line of JSON.
func (f *dropFile) record(text string) error {
	var r struct {
		CIDR, SBLID string
		Type        string
		Records     *int
		ASN         json.Number
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fmt.Errorf("%.80q is not JSON as DROP has it", text) // the library's error quotes the text
	}
	switch {
	case r.CIDR != "":
		f.records++
		return f.emit(Entry{Kind: Addr, Value: r.CIDR, Reason: r.SBLID})
	case r.Type == "metadata":
		if r.Records != nil {
			f.announce, f.counted = *r.Records, true
		}
		return nil
	case r.ASN != "":
		return fatal{errors.New("lists autonomous systems, not addresses")}
	}
	return fmt.Errorf("%.80q has no cidr", text)
}

// end finds a file that was cut short.
func (f *dropFile) end() error {
	if f.counted && f.records != f.announce {
		return fatal{fmt.Errorf("has %d records and says it has %d", f.records, f.announce)}
	}
	return nil
}
