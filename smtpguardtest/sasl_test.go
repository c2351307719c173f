package smtpguardtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strings"
)

// saslServer is the mechanisms of a server for one login, user with password. A
// lax one believes whatever it is told, and tells who is unknown.
type saslServer struct {
	lax  bool
	conn net.Conn
	say  func(format string, args ...any)
	line func() (string, error)
}

const saslMechanisms = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"

// login plays one exchange, and returns the reply that ends it.
func (s *saslServer) login(mechanism, initial string, given bool) string {
	next := func(challenge string) ([]byte, string) {
		if !given {
			s.say("334 %s", base64.StdEncoding.EncodeToString([]byte(challenge)))
			line, err := s.line()
			if err != nil {
				return nil, "421 4.4.2 bye"
			}
			initial = line
		}
		given = false
		switch initial {
		case "*":
			return nil, "501 5.0.0 as you wish"
		case "=":
			initial = ""
		}
		response, err := base64.StdEncoding.DecodeString(initial)
		if err != nil {
			return nil, "501 5.5.2 no base64"
		}
		return response, ""
	}
	var proven bool
	switch mechanism {
	case "PLAIN":
		response, bad := next("")
		if bad != "" {
			return bad
		}
		proven = string(response) == "\x00user\x00password" || string(response) == "user\x00user\x00password"
	case "LOGIN":
		name, bad := next("Username:")
		if bad != "" {
			return bad
		}
		if s.lax && string(name) != "user" && bytes.IndexByte(name, 0) < 0 {
			return "550 5.1.1 no such user"
		}
		password, bad := next("Password:")
		if bad != "" {
			return bad
		}
		proven = string(name) == "user" && string(password) == "password"
	default:
		return s.scram(mechanism == "SCRAM-SHA-256-PLUS", next)
	}
	if proven || s.lax {
		return "235 2.7.0 ok"
	}
	return "535 5.7.8 no"
}

// scram is SCRAM-SHA-256, with channel binding if plus.
func (s *saslServer) scram(plus bool, next func(string) ([]byte, string)) string {
	const no = "535 5.7.8 no"
	msg, bad := next("")
	if bad != "" {
		return bad
	}
	f := strings.SplitN(string(msg), ",", 4)
	if len(f) < 4 || !strings.HasPrefix(f[2], "n=") || !strings.HasPrefix(f[3], "r=") {
		if s.lax {
			return "235 2.7.0 ok"
		}
		return no
	}
	header, bare := f[0]+","+f[1]+",", f[2]+","+f[3]
	user := strings.TrimPrefix(f[2], "n=")
	if !s.lax && (plus != (f[0] == "p=tls-exporter") || !plus && f[0] != "n" || f[1] != "") {
		return no
	}
	if s.lax && user != "user" {
		return "550 5.1.1 no such user"
	}
	salt := sha256.Sum256([]byte("of this server, for " + user))
	nonce := rand.Text()
	if s.lax {
		nonce = "always-the-same"
	}
	first := f[3] + nonce + ",s=" + base64.StdEncoding.EncodeToString(salt[:]) + ",i=4096"
	if msg, bad = next(first); bad != "" {
		return bad
	}
	without, proof, _ := strings.Cut(string(msg), ",p=")
	salted, err := pbkdf2.Key(sha256.New, "password", salt[:], 4096, sha256.Size)
	if err != nil {
		return no
	}
	transcript := bare + "," + first + "," + without
	if !s.lax {
		data := []byte(header)
		if plus {
			state := s.conn.(*tls.Conn).ConnectionState()
			key, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
			if err != nil {
				return no
			}
			data = append(data, key...)
		}
		want := "c=" + base64.StdEncoding.EncodeToString(data) + "," + f[3] + nonce
		got, err := base64.StdEncoding.DecodeString(proof)
		if err != nil || user != "user" || without != want || !hmac.Equal(got, scramProof(salted, transcript)) {
			return no
		}
	}
	if _, bad = next("v=" + base64.StdEncoding.EncodeToString(hmacOf(hmacOf(salted, "Server Key"), transcript))); bad != "" {
		return bad
	}
	return "235 2.7.0 ok"
}
