package auth

import (
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/smtpguard/smtpguard"
)

// Mechanisms by their names (RFC 4422, section 3.1).
const (
	External        = "EXTERNAL"           // RFC 4422, appendix A
	ScramSHA256Plus = "SCRAM-SHA-256-PLUS" // RFC 7677
	ScramSHA1Plus   = "SCRAM-SHA-1-PLUS"   // RFC 5802
	ScramSHA256     = "SCRAM-SHA-256"      // RFC 7677
	ScramSHA1       = "SCRAM-SHA-1"        // RFC 5802
	OAuthBearer     = "OAUTHBEARER"        // RFC 7628
	XOAuth2         = "XOAUTH2"            // Google's, before RFC 7628
	Plain           = "PLAIN"              // RFC 4616
	Login           = "LOGIN"              // draft-murchison-sasl-login
	plus            = "-PLUS"              // ends the name of a mechanism with channel binding
)

// mechanisms are all of them, the strongest first: what no password is needed
// for, what binds to the channel, what shows the server no password, what does.
var mechanisms = []string{External, ScramSHA256Plus, ScramSHA1Plus, ScramSHA256, ScramSHA1, OAuthBearer, XOAuth2, Plain, Login}

// usual are those of a Config that names none. SHA-1 and LOGIN are for old
// clients, and have to be asked for.
var usual = []string{External, ScramSHA256Plus, ScramSHA256, OAuthBearer, XOAuth2, Plain}

// offered are the mechanisms that the client of conn may use now, the strongest
// first.
func (a *Auth) offered(conn *smtpguard.Conn) []string {
	state, secure := conn.TLS()
	if !secure && !a.cfg.Insecure || !a.at(conn.Listener()) {
		return nil
	}
	var list []string
	for _, m := range mechanisms {
		ok := slices.Contains(a.mechanisms, m)
		switch m {
		case External:
			ok = ok && a.cfg.External != nil && len(state.PeerCertificates) > 0
		case ScramSHA256Plus, ScramSHA1Plus:
			ok = ok && secure && bindable(&state) && a.scram(m)
		case ScramSHA256, ScramSHA1:
			ok = ok && a.scram(m)
		case OAuthBearer, XOAuth2:
			ok = ok && a.cfg.Tokens != nil
		default:
			ok = ok && a.cfg.Store != nil
		}
		if ok {
			list = append(list, m)
		}
	}
	return list
}

// at reports whether AUTH is offered at a listener.
func (a *Auth) at(listener string) bool {
	return slices.Contains(a.cfg.Listeners, listener) || slices.Contains(a.cfg.Listeners, "*")
}

// scram reports whether the store has keys for a mechanism, for everybody.
func (a *Auth) scram(mechanism string) bool {
	s, ok := a.cfg.Store.(ScramStore)
	return ok && (a.cfg.ScramAnyway || s.ScramTerms(strings.TrimSuffix(mechanism, plus)).Every)
}

// server begins an exchange.
func (a *Auth) server(conn *smtpguard.Conn, mechanism string, offered []string) sasl.Server {
	x := &exchange{a: a, conn: conn, mechanism: mechanism}
	switch mechanism {
	case External:
		return &external{exchange: x}
	case OAuthBearer:
		return newBearer(x, parseOAuthBearer)
	case XOAuth2:
		return newBearer(x, parseXOAuth2)
	case Plain:
		return &plain{exchange: x}
	case Login:
		return &login{exchange: x}
	}
	return newScram(x, slices.Contains(offered, strings.TrimSuffix(mechanism, plus)+plus))
}
