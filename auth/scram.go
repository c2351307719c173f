package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"hash"
	"strconv"
	"strings"
)

// What a client may send, in octets. Nothing in SCRAM needs as much.
const (
	maxScramMessage = 4096
	maxScramNonce   = 256
)

var errScram = errors.New("auth: malformed SCRAM message")

// clientFirst is the first message of a client (RFC 5802, section 7).
type clientFirst struct {
	gs2     string // header, with both commas
	flag    byte   // 'n', 'y' or 'p'
	binding string // with 'p', the type of channel binding
	authzid string
	bare    string
	user    string
	nonce   string
}

// parseClientFirst reads gs2-header [reserved-mext ","] username "," nonce
// ["," extensions].
func parseClientFirst(msg []byte) (c clientFirst, err error) {
	s, err := scramText(msg)
	if err != nil {
		return c, err
	}
	flag, rest, ok1 := strings.Cut(s, ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok1 || !ok2 {
		return c, errScram
	}
	switch binding, ok := strings.CutPrefix(flag, "p="); {
	case flag == "n" || flag == "y":
		c.flag = flag[0]
	case ok && binding != "" && strings.Trim(binding, cbName) == "":
		c.flag, c.binding = 'p', binding
	default:
		return c, errScram
	}
	if authzid != "" {
		if c.authzid, err = saslName(authzid, "a="); err != nil {
			return c, err
		}
	}
	c.gs2, c.bare = s[:len(s)-len(bare)], bare
	f := strings.Split(bare, ",")
	if len(f) < 2 {
		return c, errScram
	}
	if c.user, err = saslName(f[0], "n="); err != nil { // what a mandatory extension, "m=", fails at
		return c, err
	}
	nonce, ok := strings.CutPrefix(f[1], "r=")
	if !ok || nonce == "" || len(nonce) > maxScramNonce || !printable(nonce) {
		return c, errScram
	}
	c.nonce = nonce
	return c, extensions(f[2:])
}

const cbName = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-"

// clientFinal is the last message of a client that says something.
type clientFinal struct {
	binding []byte // gs2-header and the data of the channel binding
	nonce   string
	without string // the message without its proof
	proof   []byte
}

// parseClientFinal reads channel-binding "," nonce ["," extensions] "," proof.
func parseClientFinal(msg []byte) (c clientFinal, err error) {
	s, err := scramText(msg)
	if err != nil {
		return c, err
	}
	f := strings.Split(s, ",")
	if len(f) < 3 {
		return c, errScram
	}
	last := len(f) - 1
	c.without = s[:len(s)-len(f[last])-1]
	binding, ok1 := strings.CutPrefix(f[0], "c=")
	nonce, ok2 := strings.CutPrefix(f[1], "r=")
	proof, ok3 := strings.CutPrefix(f[last], "p=")
	if !ok1 || !ok2 || !ok3 {
		return c, errScram
	}
	c.nonce = nonce
	std := base64.StdEncoding.Strict()
	if c.binding, err = std.DecodeString(binding); err != nil {
		return c, errScram
	}
	if c.proof, err = std.DecodeString(proof); err != nil {
		return c, errScram
	}
	return c, extensions(f[2:last])
}

// scramText is a message as text, held to its bounds.
func scramText(msg []byte) (string, error) {
	if len(msg) > maxScramMessage || bytes.IndexByte(msg, 0) >= 0 || bytes.ContainsAny(msg, "\r\n") {
		return "", errScram
	}
	return string(msg), nil
}

// saslName reads a saslname behind its prefix, with '=2C' and '=3D' for what may
// not stand in it.
func saslName(s, prefix string) (string, error) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok || s == "" {
		return "", errScram
	}
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "=")
		b.WriteString(plain)
		switch {
		case !found:
			return b.String(), nil
		case strings.HasPrefix(rest, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(rest, "3D"):
			b.WriteByte('=')
		default:
			return "", errScram
		}
		s = rest[2:]
	}
}

// extensions are let pass unless they are none: attr-val is a letter, '=' and
// something.
func extensions(f []string) error {
	for _, e := range f {
		if len(e) < 3 || e[1] != '=' || e[0]|0x20 < 'a' || e[0]|0x20 > 'z' {
			return errScram
		}
	}
	return nil
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || s[i] == ',' {
			return false
		}
	}
	return true
}

// conversation is the server's side of SCRAM, without what it needs to know from
// elsewhere. It derives no key.
type conversation struct {
	hash  func() hash.Hash
	first clientFirst
	nonce string // the client's and ours
	told  string // server-first-message
}

// challenge returns the server-first-message.
func (c *conversation) challenge(serverNonce string, salt []byte, iterations int) string {
	c.nonce = c.first.nonce + serverNonce
	c.told = "r=" + c.nonce + ",s=" + base64.StdEncoding.EncodeToString(salt) + ",i=" + strconv.Itoa(iterations)
	return c.told
}

// bound reports whether final binds to the channel as its first message said it
// would; data is what the data of the binding may be, one for none.
func (c *conversation) bound(final *clientFinal, data [][]byte) bool {
	for _, d := range data {
		if subtle.ConstantTimeCompare(final.binding, append([]byte(c.first.gs2), d...)) == 1 {
			return final.nonce == c.nonce
		}
	}
	return false
}

// verify returns the first key that the proof is of, by its place in keys, and
// the server-final-message.
func (c *conversation) verify(final *clientFinal, keys []ScramKey) (place int, serverFinal string, ok bool) {
	auth := c.first.bare + "," + c.told + "," + final.without
	for i := range keys {
		signature := mac(c.hash, keys[i].Stored, auth)
		if len(final.proof) != len(signature) {
			continue
		}
		clientKey := make([]byte, len(signature))
		subtle.XORBytes(clientKey, signature, final.proof)
		sum := c.hash()
		sum.Write(clientKey)
		if subtle.ConstantTimeCompare(sum.Sum(nil), keys[i].Stored) == 1 && !ok {
			serverFinal = "v=" + base64.StdEncoding.EncodeToString(mac(c.hash, keys[i].Server, auth))
			place, ok = i, true
		}
	}
	return place, serverFinal, ok
}

// mac is HMAC (RFC 2104).
func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
