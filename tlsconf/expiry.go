package tlsconf

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/peer"
)

const (
	maxWarn  = 14 * 24 * time.Hour
	lookEach = time.Hour
	sayEach  = 24 * time.Hour
)

// warnBefore is when a certificate's end is near: warn, or where that is zero
// two weeks, or a fifth of a shorter life, by when it should have been renewed.
func warnBefore(leaf *x509.Certificate, warn time.Duration) time.Duration {
	if warn != 0 {
		return warn
	}
	return min(maxWarn, leaf.NotAfter.Sub(leaf.NotBefore)/5)
}

// ending says that leaf is near its end, "" before.
func ending(leaf *x509.Certificate, warn time.Duration, now time.Time) string {
	left := leaf.NotAfter.Sub(now)
	switch {
	case left < 0:
		return "certificate expired " + span(-left) + " ago"
	case left < warnBefore(leaf, warn):
		return "certificate expires in " + span(left)
	}
	return ""
}

// span is d in one unit.
func span(d time.Duration) string {
	n, unit := int(d.Hours()/24), "day"
	if n == 0 {
		n, unit = int(d.Hours()), "hour"
	}
	if n == 0 {
		n, unit = int(d.Minutes()), "minute"
	}
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// reminder says a thing again only after a day, unless it has become another.
type reminder struct {
	said string
	at   time.Time
}

// due reports whether what, which stands for the thing, is to be said at now. ""
// is nothing, and forgets.
func (r *reminder) due(what string, now time.Time) bool {
	if what == "" {
		*r = reminder{}
		return false
	}
	if what == r.said && now.Sub(r.at) < sayEach {
		return false
	}
	*r = reminder{what, now}
	return true
}

// facts are what an event says of a certificate.
func facts(leaf *x509.Certificate) map[string]string {
	return map[string]string{
		"names":       strings.Join(namesOf(leaf), " "),
		"expires":     leaf.NotAfter.UTC().Format(time.RFC3339),
		"certificate": peer.Fingerprint(leaf),
	}
}

// namesOf are the names a server's certificate is for.
func namesOf(leaf *x509.Certificate) []string {
	names := leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		names = append(names[:len(names):len(names)], ip.String())
	}
	return names
}

// event is one of ours: it is of no connection.
func event(kind smtpguard.Kind, reason string, facts map[string]string) smtpguard.Event {
	return smtpguard.Event{Time: time.Now(), Kind: kind, Reason: reason, Facts: facts}
}
