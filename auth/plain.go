package auth

import (
	"bytes"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// plain is PLAIN (RFC 4616).
type plain struct {
	*exchange
	over bool
}

// Next is sasl.Server.
func (s *plain) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.over:
		return nil, false, sasl.ErrUnexpectedClientResponse
	case response == nil:
		return []byte{}, false, nil
	}
	s.over = true
	f := bytes.Split(response, []byte{0}) // authzid, authcid, passwd
	if len(f) != 3 {
		return nil, false, smtp.ErrAuthFailed
	}
	return nil, true, s.password(string(f[0]), string(f[1]), string(f[2]))
}

// login is LOGIN, which asks for a login and a password one after the other.
type login struct {
	*exchange
	name []byte
	step int
}

// Next is sasl.Server.
func (s *login) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.step == 0 && response == nil:
		return []byte("Username:"), false, nil
	case s.step == 0:
		s.step, s.name = 1, bytes.Clone(response)
		return []byte("Password:"), false, nil
	case s.step == 1:
		s.step = 2
		if bytes.IndexByte(s.name, 0) >= 0 || bytes.IndexByte(response, 0) >= 0 {
			return nil, false, smtp.ErrAuthFailed // neither has a NUL: this is a message of PLAIN
		}
		return nil, true, s.password("", string(s.name), string(response))
	}
	return nil, false, sasl.ErrUnexpectedClientResponse
}
