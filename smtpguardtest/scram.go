package smtpguardtest

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// scramLogin is a login by SCRAM-SHA-256 or SCRAM-SHA-256-PLUS (RFC 7677), as
// the client plays it.
type scramLogin struct {
	mechanism      string
	user, password string
	header         string // of GS2; "n,," if empty
	data           []byte // of the channel binding
	final          string // sent in place of the right client-final-message
}

// scramOutcome is what became of it.
type scramOutcome struct {
	nonce string // the client's part
	first string // server-first-message, "" when there was none
	final string // client-final-message
	reply Reply  // the last one
}

// maxScramIterations bounds what a server can make the kit work.
const maxScramIterations = 2_000_000

// scram logs in. A server that sends a wrong proof of its own breaks the rule.
func (c *Client) scram(l scramLogin) (o scramOutcome, err error) {
	if l.header == "" {
		l.header = "n,,"
	}
	o.nonce = rand.Text()
	bare := "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(l.user) + ",r=" + o.nonce
	encode := base64.StdEncoding.EncodeToString
	if o.reply, err = c.Cmd("AUTH " + l.mechanism + " " + encode([]byte(l.header+bare))); err != nil || o.reply.Code != 334 {
		return o, err
	}
	if o.first, err = challenge(o.reply); err != nil {
		return o, err
	}
	salt, iterations, err := scramTerms(o.first, o.nonce)
	if err != nil {
		return o, err
	}
	salted, err := pbkdf2.Key(sha256.New, l.password, salt, iterations, sha256.Size)
	if err != nil {
		return o, err
	}
	o.final = "c=" + encode(append([]byte(l.header), l.data...)) + "," + o.first[:strings.IndexByte(o.first, ',')]
	transcript := bare + "," + o.first + "," + o.final
	o.final += ",p=" + encode(scramProof(salted, transcript))
	if l.final != "" {
		o.final = l.final
	}
	if o.reply, err = c.Cmd(encode([]byte(o.final))); err != nil || o.reply.Code != 334 {
		return o, err
	}
	last, err := challenge(o.reply)
	if err != nil {
		return o, err
	}
	if want := "v=" + encode(hmacOf(hmacOf(salted, "Server Key"), transcript)); l.final == "" && !strings.HasPrefix(last, "e=") && last != want {
		return o, fmt.Errorf("the server's proof is %q, want %q", last, want)
	}
	o.reply, err = c.Cmd("")
	return o, err
}

// scramProof is a ClientProof (RFC 5802, section 3).
func scramProof(salted []byte, transcript string) []byte {
	proof := hmacOf(salted, "Client Key")
	stored := sha256.Sum256(proof)
	for i, b := range hmacOf(stored[:], transcript) {
		proof[i] ^= b
	}
	return proof
}

func hmacOf(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// challenge is what a 334 says.
func challenge(r Reply) (string, error) {
	text, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.String(), "334 "))
	if err != nil {
		return "", fmt.Errorf("a challenge that is not base64: %q", r)
	}
	return string(text), nil
}

// scramTerms reads a server-first-message.
func scramTerms(first, nonce string) (salt []byte, iterations int, err error) {
	f := strings.Split(first, ",")
	if len(f) < 3 || !strings.HasPrefix(f[0], "r="+nonce) || len(f[0]) < len(nonce)+10 || f[1] == "s=" {
		return nil, 0, fmt.Errorf("the server's first message is %q", first)
	}
	salt, err1 := base64.StdEncoding.DecodeString(strings.TrimPrefix(f[1], "s="))
	iterations, err2 := strconv.Atoi(strings.TrimPrefix(f[2], "i="))
	if err := errors.Join(err1, err2); err != nil || iterations < 1 || iterations > maxScramIterations {
		return nil, 0, fmt.Errorf("the server's first message is %q", first)
	}
	return salt, iterations, nil
}

// bound is the login bound to the client's TLS channel (RFC 9266).
func (c *Client) bound(l scramLogin) (scramLogin, error) {
	conn, ok := c.conn.(*tls.Conn)
	if !ok {
		return l, errors.New("smtpguardtest: channel binding without TLS")
	}
	state := conn.ConnectionState()
	l.mechanism, l.header = "SCRAM-SHA-256-PLUS", "p=tls-exporter,,"
	var err error
	l.data, err = state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	return l, err
}

// mechanism opens a session in which AUTH is allowed, and skips where the server
// does not offer a mechanism. One that offers none has no login at all.
func (c *Client) mechanism(name string) error {
	if err := c.Secure(); err != nil {
		return err
	}
	params, ok := c.Offers("AUTH")
	if !ok {
		return errors.New("AUTH is not offered")
	}
	for offered := range strings.FieldsSeq(params) {
		if strings.EqualFold(offered, name) {
			return nil
		}
	}
	return Skip("the server does not offer " + name)
}
