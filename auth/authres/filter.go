package authres

import (
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"unicode"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Config says whose fields are believed.
type Config struct {
	ID   string   // our authserv-id, a domain name; required
	Also []string // other authserv-ids of ours: of other hosts, of before

	// Upstream are the authserv-ids of gateways that hand us what they have
	// checked. Fields with one are believed from a gateway, and forged from
	// anybody else.
	Upstream []string

	// Keep are authserv-ids of others whose fields stay, unproven, for who wants
	// to read them; "*" is all. Fields of all others are taken out (RFC 8601,
	// section 5, allows both).
	Keep []string
}

// Filter is a compiled Config. The zero Filter strips every field and has no
// gateway. It is safe for concurrent use.
type Filter struct {
	id             string
	ours, upstream []string // as spell writes them
	keep           []string
	keepAll        bool
}

// New compiles cfg. It reports every entry that is wrong, by name.
func New(cfg Config) (*Filter, error) {
	f := &Filter{}
	var errs []error
	read := func(field string, ids []string) (normal []string) {
		for i, id := range ids {
			name, err := domain.Normal(id)
			if err != nil {
				errs = append(errs, fmt.Errorf("authres: %s[%d] %q: %w", field, i, id, err))
			}
			normal = append(normal, name)
		}
		return normal
	}
	id, err := domain.Normal(cfg.ID)
	if err != nil {
		errs = append(errs, fmt.Errorf("authres: ID %q: %w", cfg.ID, err))
	}
	f.id = id
	f.ours = append([]string{id}, read("Also", cfg.Also)...)
	f.upstream = read("Upstream", cfg.Upstream)
	f.keepAll = slices.Contains(cfg.Keep, "*")
	f.keep = read("Keep", slices.DeleteFunc(slices.Clone(cfg.Keep), func(s string) bool { return s == "*" }))
	for _, name := range append(slices.Clone(f.upstream), f.keep...) {
		if slices.Contains(f.ours, name) && name != "" {
			errs = append(errs, fmt.Errorf("authres: %q is ours, and can be neither in Upstream nor in Keep", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return f, nil
}

// Results returns results under our authserv-id.
func (f *Filter) Results(methods ...Method) Results {
	return Results{ID: f.id, Methods: methods}
}

// Strip reports whether a received field, of which value stands behind the
// colon, must not reach whoever reads the message: that of a stranger. It is
// what Message.Strip takes.
func (f *Filter) Strip(value []byte) bool {
	return f.strip(string(value), false)
}

// StripFromUpstream is Strip for a message from a gateway, whose own fields stay.
func (f *Filter) StripFromUpstream(value []byte) bool {
	return f.strip(string(value), true)
}

func (f *Filter) strip(value string, fromUpstream bool) bool {
	r, err := Parse(value)
	if err != nil {
		return true // what we cannot read, another may read as ours
	}
	id, ok := spell(r.ID)
	if !ok || slices.Contains(f.ours, id) || f.claims(value, f.ours) {
		return true
	}
	if slices.Contains(f.upstream, id) || f.claims(value, f.upstream) {
		return !fromUpstream || !slices.Contains(f.upstream, id)
	}
	return !f.keepAll && !slices.Contains(f.keep, id)
}

// claims reports whether what stands before the first semicolon holds one of
// ids for a reader who knows neither comments nor quotes.
func (f *Filter) claims(value string, ids []string) bool {
	head, _, _ := strings.Cut(value, ";")
	head = loose(head)
	words := strings.FieldsFunc(head, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_", r)
	})
	words = append(words, strings.Join(words, ""))
	for _, word := range words {
		word = strings.Trim(word, ".")
		if name, err := domain.Normal(word); err == nil {
			word = name
		}
		if slices.Contains(ids, word) {
			return true
		}
	}
	return false
}

// spell brings an authserv-id to the form in which two spellings of one name
// compare equal. ok is false for what is not a name, and so for what may be one
// to somebody else.
func spell(id string) (normal string, ok bool) {
	normal, err := domain.Normal(loose(id))
	return normal, err == nil
}

// loose undoes what a reader might undo: encoded words (RFC 2047), compatible
// characters, invisible ones, and case.
func loose(text string) string {
	if strings.Contains(text, "=?") {
		if decoded, err := new(mime.WordDecoder).DecodeHeader(text); err == nil {
			text = decoded
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Mn) {
			return -1
		}
		return r
	}, domain.Compatible(text))
	return strings.ToLower(text)
}

// Upstream reads the results of a gateway: fields are the values of a message's
// Authentication-Results fields from its top down. The first ones that bear an
// authserv-id of Config.Upstream count, up to a field of anybody else: a gateway
// puts its own on top. Those of a version that is not 1 are skipped (RFC 8601,
// section 2.2).
//
// Call it only for a message whose client is known to be the gateway, by its
// address or its certificate: everybody else can write such fields too.
func (f *Filter) Upstream(fields []string) []Results {
	var found []Results
	for _, value := range fields {
		r, err := Parse(value)
		if err != nil {
			break
		}
		if id, ok := spell(r.ID); !ok || !slices.Contains(f.upstream, id) {
			break
		}
		if r.Version <= 1 {
			found = append(found, r)
		}
	}
	return found
}
