package surbl

import (
	"bytes"
	"unicode/utf8"
)

// scheme looks for a URI with a scheme around the colon at i, which a slash or
// backslash follows. It returns where that ends, 0 for none.
func (c *collector) scheme(b []byte, floor, i int, hidden Hidden) int {
	begin := i
	for begin > max(floor, i-32) && (isLabel(b[begin-1]) && b[begin-1] != '_' || b[begin-1] == '+') {
		begin--
	}
	scheme := knownScheme(b[begin:i])
	if scheme == nil {
		return 0
	}
	begin = i - len(scheme)
	if begin > 0 && b[begin-1] == '%' {
		return 0
	}
	j, straight := i+1, true
	for j < len(b) && (b[j] == '/' || b[j] == '\\') {
		straight = straight && b[j] == '/'
		j++
	}
	if j-i-1 < 2 {
		return 0
	}
	p := pieces{kind: Plain, scheme: scheme, hidden: hidden}
	if !straight || j-i-1 != 2 {
		p.hidden |= Backslash
	}
	if c.kind != 0 {
		p.kind = c.kind
	}
	return c.authority(b, begin, j, &p)
}

// authority takes the URI whose authority begins at i (RFC 3986, section 3.2).
// It returns where that ends, 0 where there is no host.
func (c *collector) authority(b []byte, begin, i int, p *pieces) int {
	// The last "@" before a slash ends what only looks like the host.
	for j := i; j < min(len(b), i+maxText); j++ {
		k := b[j]
		if k == '/' || k == '\\' || k == '?' || k == '#' || classes[k]&(breaks|closes) != 0 && k != ']' || k == '(' || k == '{' {
			break
		}
		if k == '@' && j+1 < len(b) && (classes[b[j+1]]&label != 0 || b[j+1] == '[' || b[j+1] == '%' || b[j+1] >= utf8.RuneSelf) {
			if !schemeAt(b, j+1) {
				i = j + 1
				p.hidden |= UserInfo
			}
		}
	}
	if i < len(b) && b[i] == '[' {
		to := bytes.IndexByte(b[i:min(len(b), i+64)], ']')
		if to < 0 {
			return 0
		}
		end := i + to + 1
		p.host = b[i:end]
		if c.lookup(p.host) == nil {
			return 0
		}
		return c.finishURI(b, begin, end, p)
	}
	end := hostEnd(b, i, true)
	p.host = b[i:end]
	n := c.lookup(p.host)
	if n == nil || !n.listed && !n.addr.IsValid() {
		// Text may go on behind the host without a space.
		to := i
		for to < end && b[to] < utf8.RuneSelf {
			to++
		}
		for to > i && (b[to-1] == '.' || b[to-1] == '-') {
			to--
		}
		if to == end { // so does emphasis
			for to > i && b[to-1] == '_' {
				to--
			}
		}
		if to < end {
			if m := c.lookup(b[i:to]); m != nil && m.listed {
				p.host, n, end = b[i:to], m, to
			}
		}
	}
	if n == nil {
		return 0
	}
	return c.finishURI(b, begin, end, p)
}

// schemeAt reports whether "http://" or its like begins at i.
func schemeAt(b []byte, i int) bool {
	colon := bytes.IndexByte(b[i:min(len(b), i+12)], ':')
	return colon > 0 && i+colon+1 < len(b) && b[i+colon+1] == '/' && len(knownScheme(b[i:i+colon])) == colon
}

// knownScheme returns the scheme at the end of b that is followed by a host,
// nil for none: "xhttp" has "http".
func knownScheme(b []byte) []byte {
	if len(b) < 2 {
		return nil
	}
	for _, s := range schemes {
		if len(b) == len(s) && hasPrefixFold(b, s) {
			return b
		}
	}
	for _, s := range schemes[:3] {
		if len(b) > len(s) && hasPrefixFold(b[len(b)-len(s):], s) {
			return b[len(b)-len(s):]
		}
	}
	return nil
}

// schemes are those with a host behind two slashes. The first three are known
// even where letters stand before them.
var schemes = [...]string{"https", "http", "ftp", "ftps", "sftp", "ws", "wss", "feed", "git", "gopher", "irc", "ircs", "ldap", "ldaps",
	"mms", "mysql", "news", "nfs", "nntp", "postgres", "postgresql", "rtmp", "rtsp", "smb", "ssh", "svn", "telnet", "webcal",
	"webdav", "zoommtg", "zoomus"}

// hasPrefixFold reports whether b begins with prefix, which is in lower case
// and ASCII.
func hasPrefixFold(b []byte, prefix string) bool {
	if len(b) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
