package oauth

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

// Policy says which tokens are good, and whose they are. Scopes and Login are
// required, for a [JWT] Issuer and Audiences too.
type Policy struct {
	Issuer    string   // iss, to the octet; "": not looked at
	Audiences []string // one of which aud has to have; nil: not looked at
	Scopes    []string // all of which scope, or scp, has to have
	Parties   []string // clients that tokens are for: azp and client_id, where they are there, and one has to be; nil: any

	// Login is the claim that has the login: "email", "preferred_username",
	// "username", "sub". An email that its issuer says is not verified is none, and
	// so is a sub that is not in normal form (auth.NormalLogin): to its issuer, "A"
	// and "a" are two.
	Login string

	Leeway time.Duration // for clocks that differ; 30 s, at most 5 minutes

	// Identity says what a login is good for, auth.File.Identity say. With nil, it
	// may send as its own address. A token's own end is kept in any case.
	Identity func(ctx context.Context, login string) (*auth.Identity, error)

	// Discovery is where the issuer describes itself, which a client is told whose
	// token is refused (RFC 7628, section 3.2.2): the URL of an OpenID
	// configuration. "" says nothing.
	Discovery string
}

// validate reports what is wrong with a policy, and fills in what its zero values
// mean.
func (p *Policy) validate(bad func(field, why string)) {
	if len(p.Scopes) == 0 {
		bad("Policy.Scopes", "is empty: a token for anything would do")
	}
	for i, s := range p.Scopes {
		if s == "" || strings.ContainsAny(s, " \"\\") {
			bad(fmt.Sprintf("Policy.Scopes[%d]", i), fmt.Sprintf("%q is no scope", s))
		}
	}
	if p.Login == "" {
		bad("Policy.Login", "is empty")
	}
	if p.Leeway < 0 || p.Leeway > 5*time.Minute {
		bad("Policy.Leeway", "must be from 0 to 5 minutes")
	}
	if u, err := url.Parse(p.Discovery); err != nil || p.Discovery != "" && u.Host == "" {
		bad("Policy.Discovery", "is no URL")
	}
	if p.Leeway == 0 {
		p.Leeway = 30 * time.Second
	}
	p.Audiences, p.Scopes, p.Parties = slices.Clone(p.Audiences), slices.Clone(p.Scopes), slices.Clone(p.Parties)
}

// bearer is what a client may know whose token is refused.
func (p *Policy) bearer() (scope, discovery string) {
	return strings.Join(p.Scopes, " "), p.Discovery
}

// refuse is an error that says why, for the operator. It has nothing of the token
// in it.
func refuse(why string) error { return fmt.Errorf("%w: the token %s", auth.ErrCredentials, why) }

// judge says whose the claims are, and until when they are good; the zero time is
// for ever. needsEnd wants an end.
func (p *Policy) judge(c *claims, needsEnd bool, now time.Time) (login string, until time.Time, err error) {
	why := ""
	switch {
	case c.exp.IsZero() && needsEnd:
		why = "has no end"
	case !c.exp.IsZero() && !now.Before(c.exp.Add(p.Leeway)):
		why = "has ended"
	case now.Before(c.nbf.Add(-p.Leeway)):
		why = "has not begun"
	case now.Before(c.iat.Add(-p.Leeway)):
		why = "is of the future"
	case p.Issuer != "" && c.iss != p.Issuer:
		why = "is of another issuer"
	case p.Audiences != nil && !slices.ContainsFunc(c.aud, func(a string) bool { return slices.Contains(p.Audiences, a) }):
		why = "is for another audience"
	case p.Parties != nil && !p.party(c):
		why = "is for another client"
	case slices.ContainsFunc(p.Scopes, func(s string) bool { return !slices.Contains(c.scope, s) }):
		why = "lacks a scope"
	case c.bound:
		why = "is bound to a key"
	case p.Login == "email" && c.unverified:
		why = "has an address that is not verified"
	}
	if why == "" {
		if login, err = auth.NormalLogin(c.text(p.Login)); err != nil {
			why = "has no login in " + p.Login
		} else if p.Login == "sub" && login != c.text(p.Login) {
			why = "has a subject that is not in normal form"
		}
	}
	if why != "" {
		return "", time.Time{}, refuse(why)
	}
	if !c.exp.IsZero() {
		until = c.exp.Add(p.Leeway)
	}
	return login, until, nil
}

// party reports whether a token is for one of the clients that it may be for.
func (p *Policy) party(c *claims) bool {
	known := false
	for _, party := range []string{c.azp, c.client} {
		if party == "" {
			continue
		}
		if !slices.Contains(p.Parties, party) {
			return false
		}
		known = true
	}
	return known
}

// identity is who logs in by a token.
func (p *Policy) identity(ctx context.Context, login string, until time.Time) (*auth.Identity, error) {
	if p.Identity == nil {
		return &auth.Identity{Login: login, Until: until}, nil
	}
	known, err := p.Identity(ctx, login)
	if err != nil || known == nil {
		return nil, err
	}
	id := *known
	if id.Login == "" {
		id.Login = login
	}
	if !until.IsZero() && (id.Until.IsZero() || until.Before(id.Until)) {
		id.Until = until
	}
	return &id, nil
}
