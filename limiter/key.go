package limiter

import (
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// maxPart bounds what a key says in clear of one thing.
const maxPart = 64

// part is s as part of a key: as it is where it is short and plain, else its
// hash, so that keys are bounded and two values never make one key.
func part(s string) string {
	if len(s) > 0 && len(s) <= maxPart && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "#" + digest(s)
}

// plain reports whether r may stand in a key as it is: '/', '=', '+' and '#' are
// what keys are made with.
func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._-@:[]", r)
}

// digest is a name of fixed length for s: 128 bits, so that nobody finds two
// values that share one.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// network is p as part of a key.
func network(p netip.Prefix) string {
	if !p.IsValid() {
		return "unknown"
	}
	return p.String()
}

// fold is how logins and local parts are compared: most backends take them in
// any case, and where one does not, two accounts share a limit.
func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// mailbox is addr in the one form that is counted: in lower case, its domain in
// normal form.
func mailbox(addr string) string {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return fold(addr)
	}
	return fold(addr[:at]) + "@" + host(addr[at+1:])
}

// host is name in normal form; what is no domain name, an address literal say,
// in lower case.
func host(name string) string {
	if normal, err := domain.Normal(name); err == nil {
		return normal
	}
	return strings.ToLower(name)
}
