package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"
)

// claims are those of a token, or what an issuer says of one.
type claims struct {
	iss           string
	aud, scope    []string
	exp, nbf, iat time.Time // zero: not there
	azp, client   string
	active        bool // RFC 7662, section 2.2
	bound         bool // to a key
	unverified    bool // its address

	all map[string]json.RawMessage
}

var errClaims = errors.New("claims that cannot be read")

// parseClaims reads a JSON object. A name that is there twice could be read in
// two ways, and so cannot be read.
func parseClaims(text []byte) (*claims, error) {
	c := &claims{all: make(map[string]json.RawMessage)}
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errClaims
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errClaims
		}
		key, _ := name.(string)
		var value json.RawMessage
		if _, again := c.all[key]; again || dec.Decode(&value) != nil {
			return nil, errClaims
		}
		c.all[key] = value
	}
	if _, err := dec.Token(); err != nil || dec.More() || len(bytes.TrimSpace(text[dec.InputOffset():])) > 0 {
		return nil, errClaims
	}
	ok := c.string("iss", &c.iss) && c.string("azp", &c.azp) && c.string("client_id", &c.client) &&
		c.time("exp", &c.exp) && c.time("nbf", &c.nbf) && c.time("iat", &c.iat) &&
		c.list("aud", &c.aud, false) && c.list("scope", &c.scope, true) && c.list("scp", &c.scope, true)
	if !ok {
		return nil, errClaims
	}
	c.active = string(c.all["active"]) == "true"
	if v, has := c.all["email_verified"]; has {
		c.unverified = string(v) != "true" && string(v) != `"true"`
	}
	kind := c.text("token_type")
	_, c.bound = c.all["cnf"]
	c.bound = c.bound || kind != "" && !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "access_token") // DPoP, mac
	return c, nil
}

// absent reports whether a claim is not there, or null.
func (c *claims) absent(name string) bool {
	v, has := c.all[name]
	return !has || string(v) == "null"
}

func (c *claims) string(name string, into *string) bool {
	return c.absent(name) || json.Unmarshal(c.all[name], into) == nil
}

// text is a claim that is a string, "" for any other.
func (c *claims) text(name string) string {
	var s string
	if !c.string(name, &s) {
		return ""
	}
	return s
}

// time reads a NumericDate (RFC 7519, section 2): seconds, which may have a
// fraction.
func (c *claims) time(name string, into *time.Time) bool {
	if c.absent(name) {
		return true
	}
	var n float64
	if json.Unmarshal(c.all[name], &n) != nil || n <= 0 || n > 1<<40 {
		return false
	}
	whole, fraction := math.Modf(n)
	*into = time.Unix(int64(whole), int64(fraction*1e9))
	return true
}

// list reads one string or several, and appends them; spaced, each of them may be
// several with spaces between.
func (c *claims) list(name string, into *[]string, spaced bool) bool {
	if c.absent(name) {
		return true
	}
	var all []string
	if json.Unmarshal(c.all[name], &all) != nil {
		var one string
		if json.Unmarshal(c.all[name], &one) != nil {
			return false
		}
		all = []string{one}
	}
	for _, s := range all {
		if spaced {
			*into = append(*into, strings.Fields(s)...)
		} else {
			*into = append(*into, s)
		}
	}
	return true
}
