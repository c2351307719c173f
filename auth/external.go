package auth

import (
	"context"
	"crypto/tls"

	"github.com/emersion/go-sasl"
)

// external is EXTERNAL (RFC 4422, appendix A): who the client's certificate says
// it is.
type external struct {
	*exchange
	over bool
}

// Next is sasl.Server. The one response is the authorization identity, which may
// be empty.
func (s *external) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.over:
		return nil, false, sasl.ErrUnexpectedClientResponse
	case response == nil:
		return []byte{}, false, nil
	}
	s.over = true
	state, ok := s.conn.TLS()
	if !ok || len(state.PeerCertificates) == 0 {
		return nil, false, s.refused("", ErrCredentials)
	}
	id, err := s.certificate(state)
	if err != nil {
		return nil, false, s.refused("", err)
	}
	if id, err = s.judge("", id, string(response)); err != nil {
		return nil, false, err
	}
	return nil, true, s.accept(id)
}

func (s *external) certificate(state tls.ConnectionState) (*Identity, error) {
	ctx, cancel := s.context()
	defer cancel()
	return s.a.cfg.External(ctx, state)
}

// ExternalFunc returns whose certificate a client has shown; errors are as in
// [Store]. The handshake proves that the client has the key of
// state.PeerCertificates[0]; what else the certificate says holds only where
// state.VerifiedChains is not empty. With something that knows logins by
// certificates, and a [File] of accounts, it is
//
//	func(ctx context.Context, state tls.ConnectionState) (*auth.Identity, error) {
//		login, ok := certificates.Login(state)
//		if !ok {
//			return nil, auth.ErrCredentials
//		}
//		return file.Identity(ctx, login)
//	}
type ExternalFunc func(ctx context.Context, state tls.ConnectionState) (*Identity, error)
