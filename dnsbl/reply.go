package dnsbl

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/dnslist"
)

// maxText bounds the words of a list, in octets: a reply has room for one line.
const maxText = 300

// textTimeout bounds the wait for a list's own words: a verdict does not depend
// on them.
const textTimeout = 2 * time.Second

var errTemplate = errors.New("has braces that are not {subject}, {zone}, {means} or {text}")

// template reports what is wrong with the text of a reply.
func template(s string) error {
	rest := strings.NewReplacer("{subject}", "", "{zone}", "", "{means}", "", "{text}", "").Replace(s)
	if strings.ContainsAny(rest, "{}") {
		return errTemplate
	}
	return nil
}

// clean makes text fit for a reply and a log: printable ASCII on one line, of
// at most limit octets.
func clean(s string, limit int) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() == limit {
			break
		}
		switch {
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			if n := b.Len(); n > 0 && b.String()[n-1] != ' ' {
				b.WriteByte(' ')
			}
		case r < ' ' || r > '~':
			b.WriteByte('?')
		default:
			b.WriteByte(byte(r))
		}
	}
	return strings.TrimSuffix(b.String(), " ")
}

// text fetches what the list has to say of a listing, cleaned; "" where that is
// not to be had.
func (l *Lists) text(ctx context.Context, li *Listing) string {
	name := li.Subject + li.zone.list.Suffix
	if addr, ok := li.addr(); ok {
		name = string(dnslist.AppendAddr(nil, addr)) + li.zone.list.Suffix
	}
	ctx, cancel := context.WithTimeout(ctx, min(textTimeout, l.cfg.Timeout))
	defer cancel()
	records, err := l.cfg.Resolver.LookupTXT(ctx, name)
	if err != nil || len(records) == 0 {
		return ""
	}
	// The key goes first: it must not come out of the cleaning in two pieces.
	return clean(dnslist.Hide(records[0], string(li.zone.Key)), maxText)
}

// wantsText reports whether a list's own words are used.
func (d *decider) wantsText() bool {
	return d.listing.zone.Text || strings.Contains(d.code.Reply, "{text}")
}

// what is how replies begin that have no text of their own.
var what = [...]string{
	"", "Client address {subject}", "EHLO name {subject}", "Reverse name {subject}", "Sender domain {subject}",
	"Author domain {subject}", "Address {subject} in a Received field",
}

// reply is what the client reads where d decides.
func (d *decider) reply(a smtpguard.Action, stage smtpguard.Stage, text string) *smtp.SMTPError {
	r := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}}
	switch {
	case a == smtpguard.Reject:
		if stage == smtpguard.StageConnect {
			r.Code = 554 // RFC 5321, section 3.1
		}
	case a == smtpguard.Disconnect, a == smtpguard.Defer && stage == smtpguard.StageConnect:
		r.Code, r.EnhancedCode[0] = 421, 4
	case a == smtpguard.Defer:
		r.Code, r.EnhancedCode[0] = 451, 4
	default:
		return nil
	}
	template := d.code.Reply
	if template == "" {
		template = what[d.listing.Position] + " is listed by {zone}"
		if d.code.Means != "" {
			template += ": {means}"
		}
	}
	subject := d.listing.Subject
	if d.listing.Position.addresses() && d.code.Reply == "" {
		subject = "[" + subject + "]"
	}
	r.Message = strings.NewReplacer("{subject}", subject, "{zone}", d.listing.Zone, "{means}", d.code.Means, "{text}", text).Replace(template)
	return r
}
