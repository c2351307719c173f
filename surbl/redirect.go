package surbl

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// Redirector is a host whose URIs lead to other hosts.
type Redirector struct {
	Host string // it and what is below it, in A-labels and lower case

	// Params are parameters of the query whose value is the target, with or
	// without a scheme; Prefixes begin paths whose rest is. One with neither is a
	// shortener, whose targets are not in its URIs. Targets with a scheme are found
	// inside all URIs, those of hosts that are no known redirector too.
	Params   []string
	Prefixes []string

	Writing Writing
}

// Writing is how a redirector writes its targets.
type Writing uint8

const (
	Percent     Writing = iota // in percent encoding, or as they are
	Proofpoint2                // "-" for "%", "_" for "/"
	Proofpoint3                // between "__" and "__;", with one slash behind the scheme at times
	Base64                     // in the alphabet for URLs, behind two characters
	Underscores                // between two "___", likewise
)

// DefaultRedirectors are large redirectors, the rewriters of links of large
// filters, and shorteners: as of November 2026, next to the shorteners that
// SpamAssassin 4.0, rspamd 3.4 and Spamhaus' plug-in of 2023 name. What leads
// elsewhere with a whole URI in its own needs no entry.
func DefaultRedirectors() []Redirector {
	list := []Redirector{
		{Host: "google.com", Params: []string{"q", "url", "adurl", "u"}, Prefixes: []string{"/amp/s/", "/amp/"}},
		{Host: "googleadservices.com", Params: []string{"adurl"}},
		{Host: "doubleclick.net", Params: []string{"adurl", "ds_dest_url"}},
		{Host: "ampproject.org", Prefixes: []string{"/c/s/", "/c/", "/v/s/"}},
		{Host: "youtube.com", Params: []string{"q"}},
		{Host: "facebook.com", Params: []string{"u"}},
		{Host: "instagram.com", Params: []string{"u"}},
		{Host: "linkedin.com", Params: []string{"url"}},
		{Host: "reddit.com", Params: []string{"url"}},
		{Host: "bing.com", Params: []string{"u"}, Writing: Base64},
		{Host: "duckduckgo.com", Params: []string{"uddg"}},
		{Host: "vk.com", Params: []string{"to"}},
		{Host: "steamcommunity.com", Params: []string{"url", "u"}},
		{Host: "slack-redir.net", Params: []string{"url"}},
		{Host: "t.umblr.com", Params: []string{"z"}},
		{Host: "safelinks.protection.outlook.com", Params: []string{"url"}},
		{Host: "linkprotect.cudasvc.com", Params: []string{"a"}},
		{Host: "clicktime.symantec.com", Params: []string{"u"}},
		{Host: "protect.checkpoint.com", Params: []string{"u"}},
		{Host: "protect.checkpoint.com", Prefixes: []string{"/v2/"}, Writing: Underscores},
		{Host: "url.avanan.click", Prefixes: []string{"/v2/"}, Writing: Underscores},
		{Host: "mimecast.com", Params: []string{"domain"}},
		{Host: "mimecastprotect.com", Params: []string{"domain"}},
		{Host: "protection.sophos.com", Params: []string{"d"}},
		{Host: "urldefense.proofpoint.com", Params: []string{"u"}, Writing: Proofpoint2},
		{Host: "urldefense.com", Prefixes: []string{"/v3/__"}, Writing: Proofpoint3},
		{Host: "web.archive.org", Prefixes: []string{"/web/"}},
		{Host: "translate.google.com", Params: []string{"u"}},
		{Host: "href.li", Prefixes: []string{"/?"}},
		{Host: "anonym.to", Prefixes: []string{"/?"}},
	}
	for host := range strings.FieldsSeq(shorteners) {
		list = append(list, Redirector{Host: host})
	}
	return list
}

// shorteners are hosts whose paths are names for URIs elsewhere.
const shorteners = `
		0rz.tw 2.gp 4sq.com abre.ai adf.ly aka.ms alturl.com amzn.com amzn.to app.goo.gl app.link b.link b23.ru binged.it
		bit.do bit.ly bitly.com bitly.ws bizj.us bl.ink bom.so buff.ly chilp.it clck.ru cleanuri.com conta.cc cutt.ly dai.ly
		db.tt did.li dik.si disq.us dlvr.it doiop.com eepurl.com fb.me flic.kr gg.gg ggle.io goo.gl goo.su grabify.link
		han.gl hop.kz htl.li huff.to ift.tt inx.lv iqy.im is.gd j.mp kortlink.dk kurl.no kutt.it lihi2.cc lil.ge lin.ee
		linktr.ee ln.run lnk.sk lnkd.in lnkiy.in m1s.it me-qr.com mub.me n9.cl onelink.me ouo.io ow.ly owl.li p.asia
		page.link ppt.cc pxlme.me qr.ae qrco.de rb.gy rebrand.ly reurl.cc rotf.lol s.free.fr s.id s.lu sha.lk shar.es
		shln.me short.gy short.io shorte.st shortn.me shorturl.ac shorturl.asia shorturl.at shrinke.me shrtco.de slidesha.re
		smarturl.it snip.ly soo.gd surl.li t.co t.ly t.me tiny.cc tiny.one tiny.pl tinylink.in tinyurl.com tny.im to.sv
		trib.al tyl.ke u.nu u.to uclck.ru url.ie urlcut.com urlday.cc urlis.net urly.it urlz.at urlz.fr urlzs.com v.gd vk.cc
		vk.sv vo.la wa.me wp.me x.co x.gd youtu.be zpr.io zurl.ws`

// redirector is what is known of one host.
type redirector struct {
	rules  []Redirector
	hidden Hidden
}

// redirector finds what is known of h, by its name or one above it.
func (x *Extractor) redirector(h *host) (r redirector) {
	for name := h.name; strings.IndexByte(name, '.') > 0; {
		r.rules = append(r.rules, x.redirectors[name]...)
		_, name, _ = strings.Cut(name, ".")
	}
	for i := range r.rules {
		if len(r.rules[i].Params)+len(r.rules[i].Prefixes) == 0 {
			r.hidden |= Shortened
		}
	}
	return r
}

const (
	maxInside = 3  // URIs in URIs in URIs
	maxParams = 32 // of one query
)

// inner takes the URIs that are inside one of the host n.
func (c *collector) inner(p *pieces, n *named, depth int) {
	if depth >= maxInside || len(p.path) < 4 {
		return
	}
	whole := false
	for i := range n.data.rules {
		whole = c.known(p, n, &n.data.rules[i], depth) || whole
	}
	if whole {
		return
	}
	if !bytes.Contains(p.path, []byte("//")) && !bytes.Contains(p.path, []byte("%")) && !bytes.Contains(p.path, []byte(`:\`)) {
		return
	}
	rest := p.path
	for range maxParams {
		param, after, more := bytes.Cut(rest, []byte("&"))
		c.target(param, p, n, depth, false)
		if !more {
			return
		}
		rest = after
	}
}

// known takes the targets of a known redirector. It reports whether all that is
// behind the host is one.
func (c *collector) known(p *pieces, n *named, r *Redirector, depth int) (whole bool) {
	for _, prefix := range r.Prefixes {
		rest, ok := bytes.CutPrefix(p.path, []byte(prefix))
		if !ok {
			continue
		}
		switch r.Writing {
		case Underscores:
			_, rest, _ = bytes.Cut(rest, []byte("___"))
			rest, _, _ = bytes.Cut(rest, []byte("___"))
			rest = twoSlashes(rest)
		case Proofpoint3:
			rest, _, _ = bytes.Cut(rest, []byte("__;"))
			rest = twoSlashes(rest)
		}
		c.target(rest, p, n, depth, true)
		whole = true
	}
	_, query, ok := bytes.Cut(p.path, []byte("?"))
	if !ok || len(r.Params) == 0 {
		return whole
	}
	for range maxParams {
		param, after, more := bytes.Cut(query, []byte("&"))
		name, value, _ := bytes.Cut(bytes.TrimPrefix(param, []byte("amp;")), []byte("="))
		for _, want := range r.Params {
			if string(name) == want {
				c.target(r.Writing.read(value), p, n, depth, true)
			}
		}
		if !more {
			break
		}
		query = after
	}
	return whole
}

// twoSlashes is b with two slashes behind the scheme, of which a mail client may
// have made one.
func twoSlashes(b []byte) []byte {
	colon := bytes.IndexByte(b, ':')
	if colon <= 0 || colon+2 >= len(b) || b[colon+2] == '/' {
		return b
	}
	return append(append(append([]byte(nil), b[:colon+1]...), '/'), b[colon+1:]...)
}

// read undoes what percent decoding does not.
func (w Writing) read(value []byte) []byte {
	switch w {
	case Proofpoint2:
		value = bytes.ReplaceAll(bytes.ReplaceAll(value, []byte("-"), []byte("%")), []byte("_"), []byte("/"))
	case Base64:
		if len(value) < 2 {
			return nil
		}
		out, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(string(value[2:]), "="))
		if err != nil {
			return nil
		}
		value = out
	}
	return value
}

// target takes the URI in value, whatever its percent encoding; bare has it
// begin without a scheme too.
func (c *collector) target(value []byte, p *pieces, n *named, depth int, bare bool) {
	for range 4 {
		for from := 0; from < len(value); {
			i := bytes.IndexByte(value[from:], ':')
			if i < 0 {
				break
			}
			i += from
			if i+2 < len(value) && (value[i+1] == '/' || value[i+1] == '\\') && (value[i+2] == '/' || value[i+2] == '\\') {
				from0 := i
				for from0 > 0 && isLabel(value[from0-1]) {
					from0--
				}
				if s := knownScheme(value[from0:i]); s != nil {
					c.inside(value[i-len(s):], len(s), p, n, depth)
					return
				}
			}
			from = i + 1
		}
		if bare && bytes.IndexByte(value, '%') < 0 {
			c.inside(bytes.TrimLeft(value, "/"), 0, p, n, depth)
			return
		}
		decoded, count := percent(value)
		if count == 0 {
			return
		}
		value = decoded
	}
}

// inside adds the URI that value begins with.
func (c *collector) inside(value []byte, scheme int, outer *pieces, n *named, depth int) {
	value = value[:min(len(value), maxText)]
	i := scheme
	if scheme > 0 {
		i++
	}
	for i < len(value) && (value[i] == '/' || value[i] == '\\') {
		i++
	}
	end := hostEnd(value, i, true)
	if at := bytes.LastIndexByte(value[i:upTo(value, i)], '@'); at >= 0 {
		i += at + 1
		end = hostEnd(value, i, true)
	}
	m := c.lookup(value[i:end])
	if m == nil || scheme == 0 && !plausible(m) {
		return
	}
	p := pieces{kind: Inner, scheme: value[:scheme], host: value[i:end], hidden: outer.hidden&Defanged | Redirected, via: n.text(), off: outer.off}
	if c.kind == Resource || c.kind == Style || c.kind == Script {
		p.kind = c.kind
	}
	if end < len(value) && (value[end] == '/' || value[end] == '?' || value[end] == '#') {
		to, _ := pathEnd(value, end)
		p.path = value[end:to]
		end = to
	}
	p.text = value[:end]
	outer.hidden |= Redirected
	c.add(&p, depth+1)
}

// upTo is the end of the authority that begins at i.
func upTo(b []byte, i int) int {
	if n := bytes.IndexAny(b[i:], "/\\?#&"); n >= 0 {
		return i + n
	}
	return len(b)
}
