// Package oauth answers: whose bearer token is this, and is it good for mail?
//
//	tokens, err := oauth.NewJWT(oauth.JWTConfig{
//		JWKS: "https://id.example.org/jwks",
//		Policy: oauth.Policy{
//			Issuer: "https://id.example.org", Audiences: []string{"mail.example.org"}, Scopes: []string{"smtp"}, Login: "email",
//		},
//	})
//	a, err := auth.New(auth.Config{Tokens: tokens, Listeners: []string{"submission"}})
//
// A [JWT] judges signed tokens by the keys that their issuer publishes. An
// [Introspector] asks the issuer about each token, whatever it is made of, and so
// learns as well that one was revoked. A [Policy] says for both what has to be in
// a token.
//
// # What is never taken
//
// A token without a signature, or with one of an algorithm that was not asked
// for: only public-key algorithms can be, so that a published key is never the
// secret of an HMAC. A key that a token brings or points to itself (jwk, jku,
// x5c, x5u). A token without an end, unless the issuer says of it that it is
// active. A token that is bound to a key (cnf, RFC 7800): whoever shows it may
// have stolen it. A token of another type, one that logs out say.
//
// # Keys that change
//
// Keys are fetched again from time to time, and for a key id that is unknown, but
// not more often than JWTConfig.Again: who makes up key ids cannot make us ask.
// While the issuer is away, keys serve that were seen in the last day; a token
// that needs others is deferred, not refused.
//
// RFC 6750 (bearer tokens), RFC 7515 to 7519 (JWS, JWK, JWT), RFC 7628 (their use
// in SASL), RFC 7662 (introspection), RFC 8725 (how JWTs go wrong), RFC 9068 (JWT
// access tokens), OpenID Connect Core 1.0 (azp, email_verified).
package oauth
