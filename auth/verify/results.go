package verify

import "github.com/smtpguard/smtpguard/auth/authres"

// Results returns r as our Authentication-Results field says it, for who seals it
// (package arc) or writes it elsewhere.
func (v *Verifier) Results(r *Result) authres.Results { return v.fields.Results(r.methods()...) }
