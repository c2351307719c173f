package surbl

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
)

// Hash is how a list names mail addresses it does not want to be read. The zero
// Hash is SHA-1 in hexadecimal, whole.
type Hash struct {
	SHA256 bool
	Base32 bool // RFC 4648, without padding
	Length int  // characters that are asked for; 0 is all
}

func (h Hash) vet(bad func(field, why string)) {
	if all := len(h.text("")); h.Length < 0 || h.Length > all || all > 63 && (h.Length == 0 || h.Length > 63) {
		bad("Hash.Length", fmt.Sprintf("must be at most %d, and a label has no more than 63", all))
	}
}

func (h Hash) text(s string) string {
	sum := sha1.Sum([]byte(s))
	b := sum[:]
	if h.SHA256 {
		sum := sha256.Sum256([]byte(s))
		b = sum[:]
	}
	if h.Base32 {
		return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
	}
	return hex.EncodeToString(b)
}

// mailbox is the label that is asked for a mail address: of the form in which
// lists have it, lower case, without what is behind a "+", and for Gmail, whose
// users may write dots as they like, without those.
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
	text := h.text(local + "@" + host)
	if h.Length > 0 {
		text = text[:min(h.Length, len(text))]
	}
	return text
}
