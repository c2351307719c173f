package report

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/smtpguard/smtpguard/auth/dmarc"
)

// Destination is where a report may go, or why it may not.
type Destination struct {
	URI      dmarc.URI
	External bool   // it is of another organization, which was asked
	Refused  string // why it gets no report; "" means that it does

	// Err is that this could not be found out now: to be tried again (RFC 9990,
	// section 4, item 5).
	Err error
}

// Destinations says which of uris may have reports about a policy domain: mail
// addresses in its own organization, and those whose domain says that it takes
// reports about it (RFC 9990, section 4), or others of its own instead.
// Organizational domains are as c finds them. Each address is there once, and
// there are no more than 20: a receiver may limit to how many it reports.
func Destinations(ctx context.Context, c *dmarc.Checker, r dmarc.Resolver, policyDomain string, uris []dmarc.URI) []Destination {
	return destinations(ctx, c, r, policyDomain, uris, func(record *dmarc.Record) []dmarc.URI { return record.Aggregate })
}

// FailureDestinations is [Destinations] for failure reports: who is asked may
// name others with ruf (RFC 9991, section 5).
func FailureDestinations(ctx context.Context, c *dmarc.Checker, r dmarc.Resolver, policyDomain string, uris []dmarc.URI) []Destination {
	return destinations(ctx, c, r, policyDomain, uris, func(record *dmarc.Record) []dmarc.URI { return record.Failure })
}

// maxDestinations bounds those of one report. A record names 16 at most, but
// each of their domains may name others instead.
const maxDestinations = 20

func destinations(ctx context.Context, c *dmarc.Checker, r dmarc.Resolver, policyDomain string, uris []dmarc.URI, of func(*dmarc.Record) []dmarc.URI) []Destination {
	var list []Destination
	seen := make(map[string]bool)
	add := func(d Destination) {
		if !isMailbox(d.URI.Address) && d.Refused == "" {
			d.Refused = "not an address to be written to without quotes"
		}
		key := d.URI.Text // but an address can be written in many ways
		if d.URI.Address != "" {
			key = d.URI.Address[:strings.LastIndexByte(d.URI.Address, '@')+1] + d.URI.Domain
		}
		if !seen[key] && len(list) < maxDestinations {
			seen[key] = true
			list = append(list, d)
		}
	}
	home, homeErr := c.Organizational(ctx, policyDomain)
	for _, uri := range uris {
		d := Destination{URI: uri}
		switch {
		case uri.Address == "":
			d.Refused = "no mail address"
		case uri.Domain == policyDomain:
		case homeErr != nil:
			d.Err = homeErr
		default:
			var there string
			if there, d.Err = c.Organizational(ctx, uri.Domain); d.Err == nil && there != home {
				d.External = true
				for _, d := range ask(ctx, r, policyDomain, d, of) {
					add(d)
				}
				continue
			}
		}
		add(d)
	}
	return list
}

// isMailbox reports whether the local part of an address is a dot-atom of ASCII
// (RFC 5322, section 3.2.3), which needs quotes nowhere, and can not be taken for
// an option of a program.
func isMailbox(address string) bool {
	local := address[:max(strings.LastIndexByte(address, '@'), 0)]
	if strings.HasPrefix(local, "-") {
		return false
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool {
			return r <= ' ' || r > '~' || strings.ContainsRune(`()<>[]:;@\,"`, r)
		}) {
			return false
		}
	}
	return true
}

// ask asks the domain of d whether it takes reports, and where: of says what a
// record has for them.
func ask(ctx context.Context, r dmarc.Resolver, policyDomain string, d Destination, of func(*dmarc.Record) []dmarc.URI) []Destination {
	const maxName = 253 // RFC 1035, section 2.3.4
	name := policyDomain + "._report._dmarc." + d.URI.Domain
	if len(name) > maxName {
		d.Refused = "its name and that of the policy domain are too long together"
		return []Destination{d}
	}
	texts, err := r.LookupTXT(ctx, name+".")
	if dns, ok := errors.AsType[*net.DNSError](err); err != nil && (!ok || !dns.IsNotFound) {
		d.Err = fmt.Errorf("report: %s: %w", name, err)
		return []Destination{d}
	}
	confirmed := false
	var instead []dmarc.URI
	for _, text := range texts {
		record, err := dmarc.ParseRecord(strings.TrimSpace(text))
		if err != nil {
			continue
		}
		confirmed = true
		instead = append(instead, of(record)...)
	}
	if !confirmed {
		d.Refused = d.URI.Domain + " does not say that it takes reports about " + policyDomain
		return []Destination{d}
	}
	if len(instead) == 0 {
		return []Destination{d}
	}
	var list []Destination
	for _, uri := range instead {
		other := Destination{URI: uri, External: true}
		if uri.Domain != d.URI.Domain { // which would have others flood a third
			d.Refused = d.URI.Domain + " wants them sent to somebody else"
			return []Destination{d}
		}
		list = append(list, other)
	}
	return list
}
