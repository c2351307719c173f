package surbl

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// Hash is how a list names what it does not want to be read. The zero Hash is
// SHA-1 in hexadecimal, whole.
type Hash struct {
	Sum    Sum
	Base32 bool // RFC 4648, without padding, in place of hexadecimal
	Length int  // characters that are asked for; 0 is all
	URL    URLForm
}

// Sum is a hash function.
type Sum uint8

const (
	SHA1   Sum = iota // FIPS 180-4, like SHA256
	SHA256            // in hexadecimal it is too long for a label: it needs Base32 or a Length
	MD5               // RFC 1321
)

var sumNames = [...]string{"sha1", "sha256", "md5"}

// String returns the function's name: "sha256".
func (s Sum) String() string {
	if int(s) >= len(sumNames) {
		return "invalid"
	}
	return sumNames[s]
}

func (s Sum) new() hash.Hash {
	switch s {
	case SHA256:
		return sha256.New()
	case MD5:
		return md5.New()
	}
	return sha1.New()
}

// URLForm is what of a URL a list hashes, always with the host in lower case and
// without scheme and fragment.
type URLForm uint8

const (
	HostPath   URLForm = iota // "host/path", as written
	Shorteners                // HostPath, of the known shorteners alone: SURBL's HASHBL
	Spamhaus                  // that of Spamhaus' HBL: see [SpamhausHBL]
)

func (h Hash) vet(bad func(field, why string)) {
	if int(h.Sum) >= len(sumNames) {
		bad("Hash.Sum", "is none there is")
		return
	}
	if h.URL > Spamhaus {
		bad("Hash.URL", "is no form there is")
	}
	if all := len(h.text(nil)); h.Length < 0 || h.Length > all || all > 63 && (h.Length == 0 || h.Length > 63) {
		bad("Hash.Length", fmt.Sprintf("must be at most %d, and a label has no more than 63", all))
	}
}

// text is the whole label of a sum, that of nothing where it is nil.
func (h Hash) text(sum []byte) string {
	if sum == nil {
		sum = h.Sum.new().Sum(nil)
	}
	if h.Base32 {
		return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum))
	}
	return hex.EncodeToString(sum)
}

// label is what is asked for a sum.
func (h Hash) label(sum []byte) string {
	text := h.text(sum)
	if h.Length > 0 {
		text = text[:min(h.Length, len(text))]
	}
	return text
}

// of is what is asked for a text.
func (h Hash) of(text string) string {
	f := h.Sum.new()
	f.Write([]byte(text))
	return h.label(f.Sum(nil))
}

// mailbox is the label that is asked for a mail address: of the form in which
// MSBL (https://msbl.org/ebl-design.html) and Spamhaus have it, lower case,
// without what is behind a "+", and for Gmail, whose users may write dots as they
// like, without those.
func (h Hash) mailbox(address string) string {
	at := strings.LastIndexByte(address, '@')
	local, host := strings.ToLower(address[:max(at, 0)]), strings.ToLower(address[at+1:])
	if before, _, ok := strings.Cut(local, "+"); ok && before != "" {
		local = before
	}
	if host == "googlemail.com" {
		host = "gmail.com"
	}
	if host == "gmail.com" {
		local = strings.ReplaceAll(local, ".", "")
	}
	return h.of(local + "@" + host)
}

// urls are the labels that are asked for a URI, none for one that the list has
// no form of.
func (h Hash) urls(u *URI) (labels []string) {
	if u.Host == "" || u.Mailbox != "" || len(u.Path) < 2 {
		return nil
	}
	switch h.URL {
	case Shorteners:
		if u.Hidden&Shortened == 0 {
			return nil
		}
		fallthrough
	case HostPath:
		end := strings.IndexAny(u.Path, "?#")
		if end < 0 {
			end = len(u.Path)
		}
		if end < 2 {
			return nil
		}
		return []string{h.of(u.Host + u.Path[:end])}
	}
	text := spamhausURL(u)
	if text == "" {
		return nil
	}
	labels = append(labels, h.of(text))
	if lower := strings.ToLower(text); lower != text {
		labels = append(labels, h.of(lower))
	}
	return labels
}

// Hosts whose URLs Spamhaus cuts elsewhere than those of others: behind the
// first part of the path, and only behind the query (as of October 2023, sh_hbl.cf
// of its plug-in for SpamAssassin).
var (
	firstPart = []string{"is.gd", "storage.googleapis.com", "commondatastorage.googleapis.com", "cld.pt", "short.hbltest.com"}
	withQuery = []string{"api.whatsapp.com", "eblink4.com", "eblink5.com", "withqm.hbltest.com"}
)

// maxPath bounds what Spamhaus hashes of a path, an escape counting as one.
const maxPath = 512

// spamhausURL is u as Spamhaus hashes it, but for the case of letters: the host,
// the port, and what follows up to the first character that few URLs have, or the
// query, without percent encoding. It keeps the case of letters at hosts where
// that matters, which its documentation lists (URL_normalization.yaml); we ask
// for both.
func spamhausURL(u *URI) string {
	if u.Path[0] != '/' && u.Path[0] != '?' {
		return ""
	}
	more := "()_.=~!/-"
	switch {
	case slices.Contains(firstPart, u.Host):
		more = "()_.=~-"
	case slices.Contains(withQuery, u.Host):
		more = "()_.=~/:;<>?"
	}
	out := append([]byte(u.Host), portOf(u)...)
	out = append(out, u.Path[0])
	n := 0
	for i := 1; i < len(u.Path) && n < maxPath; n++ {
		c := u.Path[i]
		switch {
		case c == '%' && i+2 < len(u.Path) && unhex(u.Path[i+1]) < 16 && unhex(u.Path[i+2]) < 16:
			out = append(out, unhex(u.Path[i+1])<<4|unhex(u.Path[i+2]))
			i += 3
			continue
		case letter(c) || c >= '0' && c <= '9' || strings.IndexByte(more, c) >= 0:
			out = append(out, c)
			i++
			continue
		}
		break
	}
	if n < 2 {
		return ""
	}
	return string(out)
}

// portOf is the port of u with its colon, "" for the one of its scheme.
func portOf(u *URI) string {
	if u.Port == "" || u.Port == "80" && u.Scheme != "https" || u.Port == "443" && u.Scheme == "https" {
		return ""
	}
	return ":" + u.Port
}
