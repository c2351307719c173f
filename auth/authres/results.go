package authres

import "strings"

// Result is what a method came to, in lower case. Others than these are read and
// written as well.
type Result string

const (
	None      Result = "none"      // RFC 8601, sections 2.7.1 to 2.7.5
	Pass      Result = "pass"      // likewise
	Fail      Result = "fail"      // likewise
	Policy    Result = "policy"    // sections 2.7.1 and 2.7.2: a local rule speaks against a good result
	Neutral   Result = "neutral"   // sections 2.7.1 and 2.7.2
	SoftFail  Result = "softfail"  // section 2.7.2
	TempError Result = "temperror" // a later try may do better
	PermError Result = "permerror" // it may not
)

// Results are the results of one field: what one host found of a message.
type Results struct {
	ID      string // authserv-id (RFC 8601, section 2.5), without quotes
	Version int    // 0 is that of a field that gives none, which means 1
	Methods []Method

	// UTF8 says that the message is internationalized (RFC 6532), so that Field
	// may write octets outside ASCII. Parse does not set it.
	UTF8 bool
}

// Method is a method and its result, "dkim=pass".
type Method struct {
	Name       string // in lower case (section 2.7)
	Version    int    // 0 where the field gives none
	Result     Result
	Reason     string // in words, without quotes
	Properties []Property
}

// Property is what a result is about: "header.d=example.org".
type Property struct {
	Type  string // ptype (section 2.3), in lower case: "smtp", "header", "body", "policy"
	Name  string // in lower case
	Value string // without quotes: that of "a b"@example.org is a b@example.org
}

// Value returns the first value of a property, "" if there is none.
func (m Method) Value(ptype, name string) string {
	for _, p := range m.Properties {
		if strings.EqualFold(p.Type, ptype) && strings.EqualFold(p.Name, name) {
			return p.Value
		}
	}
	return ""
}

// Find returns the results of a method, of which dkim may have several.
func (r Results) Find(method string) []Method {
	var found []Method
	for _, m := range r.Methods {
		if strings.EqualFold(m.Name, method) {
			found = append(found, m)
		}
	}
	return found
}
