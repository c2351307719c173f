package dmarc

import (
	"errors"
	"iter"
	"strconv"
	"strings"
)

// maxRecord bounds a record in octets. DNS messages of that size are rare, and
// records of a tenth of it.
const maxRecord = 8 << 10

var (
	errVersion = errors.New(`dmarc: a record begins with "v=DMARC1"`)
	errLong    = errors.New("dmarc: record over 8,192 octets")
)

// tag is one tag of a record.
type tag struct {
	name, value string
	ok          bool // name and value are of the characters they may have
}

// tags yields what stands between the semicolons of a record, the version first
// (RFC 9989, section 4.8). Nothing but empty text yields an empty name.
func tags(text string) iter.Seq[tag] {
	return func(yield func(tag) bool) {
		for part := range strings.SplitSeq(text, ";") {
			name, value, found := strings.Cut(part, "=")
			t := tag{name: trim(name), value: trim(value)}
			t.ok = found && isName(t.name) && isValue(t.value)
			t.name = strings.ToLower(t.name)
			if !yield(t) {
				return
			}
		}
	}
}

// trim takes off what WSP is (RFC 5234, appendix B.1).
func trim(s string) string { return strings.Trim(s, " \t") }

func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}

func isValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// versioned reports whether text begins as a record of this version. Its value
// has that case only, its name either, and nothing stands before it.
func versioned(text string) bool {
	first, _, _ := strings.Cut(text, ";")
	name, value, found := strings.Cut(first, "=")
	return found && strings.EqualFold(strings.TrimRight(name, " \t"), "v") && trim(value) == "DMARC1"
}

// ParseRecord reads the text of a TXT record, its strings joined. It fails only
// on what is no record of this version. Everything else that is wrong in one
// makes its tag count as absent (RFC 9989, section 4.8), a tag that occurs twice
// too; but see [Record.Policy]. Names of tags and their values may have either
// case.
func ParseRecord(text string) (*Record, error) {
	if len(text) > maxRecord {
		return nil, errLong
	}
	if !versioned(text) {
		return nil, errVersion
	}
	var values [len(known)]string
	var seen, bad [len(known)]bool
	version := true
	for t := range tags(text) {
		if version {
			version = false
			continue
		}
		if i := index(t.name); i >= 0 {
			bad[i] = bad[i] || seen[i] || !t.ok
			seen[i] = true
			values[i] = t.value
		}
	}
	for i := range values {
		if bad[i] {
			values[i] = ""
		}
	}
	r := &Record{
		Text: text, DKIM: Relaxed, SPF: Relaxed, Suffix: SuffixUnknown, FailureOptions: "0",
		Aggregate: uris(values[tagRUA]), Failure: uris(values[tagRUF]),
		Percent: percent(values[tagPct]),
	}
	if strings.EqualFold(values[tagADKIM], "s") {
		r.DKIM = Strict
	}
	if strings.EqualFold(values[tagASPF], "s") {
		r.SPF = Strict
	}
	switch strings.ToLower(values[tagPSD]) {
	case "y":
		r.Suffix = SuffixYes
	case "n":
		r.Suffix = SuffixNo
	}
	r.Testing = strings.EqualFold(values[tagT], "y")
	if fo, ok := failureOptions(values[tagFO]); ok && len(r.Failure) > 0 {
		r.FailureOptions = fo
	}
	r.Policy, r.Subdomain, r.NonExistent = policy(values[tagP]), policy(values[tagSP]), policy(values[tagNP])
	r.invalid = seen[tagP] && r.Policy == "" || seen[tagSP] && r.Subdomain == "" || seen[tagNP] && r.NonExistent == ""
	if r.Policy == "" || r.invalid {
		r.Policy, r.Subdomain, r.NonExistent = "", "", ""
		if len(r.Aggregate) > 0 {
			r.Policy = NoPolicy // section 4.10.1
		}
	}
	return r, nil
}

// The tags that are read (RFC 9989, section 9.3), as indexes of known.
const (
	tagP = iota
	tagSP
	tagNP
	tagADKIM
	tagASPF
	tagPSD
	tagT
	tagRUA
	tagRUF
	tagFO
	tagPct // RFC 7489 only
)

var known = [...]string{"p", "sp", "np", "adkim", "aspf", "psd", "t", "rua", "ruf", "fo", "pct"}

// index returns the tag called name, -1 for one that is not known.
func index(name string) int {
	for i, k := range known {
		if k == name {
			return i
		}
	}
	return -1
}

// policy returns the policy called value, "" for none of them.
func policy(value string) Policy {
	for _, p := range [...]Policy{NoPolicy, Quarantine, Reject} {
		if strings.EqualFold(value, string(p)) {
			return p
		}
	}
	return ""
}

// percent reads pct (RFC 7489, section 6.3).
func percent(value string) int {
	if n, err := strconv.ParseUint(value, 10, 8); err == nil && n <= 100 {
		return int(n)
	}
	return 100
}

// failureOptions reads fo: one of 0 and 1, d, and s, each at most once.
func failureOptions(value string) (_ string, ok bool) {
	if value == "" {
		return "", false
	}
	value = strings.ToLower(value)
	var seen [3]bool
	var list []string
	for option := range strings.SplitSeq(value, ":") {
		option = trim(option)
		i := 0 // of "0" and "1", which exclude each other
		switch option {
		case "0", "1":
		case "d":
			i = 1
		case "s":
			i = 2
		default:
			return "", false
		}
		if seen[i] {
			return "", false
		}
		seen[i] = true
		list = append(list, option)
	}
	return strings.Join(list, ":"), true
}
