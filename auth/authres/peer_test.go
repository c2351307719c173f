package authres_test

import (
	"strings"
	"testing"

	peer "github.com/emersion/go-msgauth/authres"

	"github.com/smtpguard/smtpguard/auth/authres"
)

// FuzzPeer compares with github.com/emersion/go-msgauth v0.7.0 where both read a
// field. Theirs splits at every semicolon and blank, and keeps quotes, and so
// what has quotes, comments or such is left out (RFC 8601, section 2.2, allows
// all of it anywhere), as are results of methods it has types for.
func FuzzPeer(f *testing.F) {
	f.Add("example.com 1; none")
	f.Add("example.com; x-a=pass header.d=a.example; x-b=fail reason=bad smtp.mailfrom=a@b.example;")
	f.Add("example.org;\r\n\tx-dkim=PASS header.i=@a.example body.x=1")
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, `"()\/`) {
			return
		}
		got, err := authres.Parse(value)
		if err != nil || got.Version > 1 {
			return
		}
		id, results, err := peer.Parse(value)
		if err != nil {
			// They want "=" without blanks around it, which CFWS allows, and "none" in
			// lower case, which RFC 5234, section 2.3, does not ask for.
			if strings.ContainsAny(value, " \t\r\n") || strings.Contains(strings.ToLower(value), "none") {
				return
			}
			t.Fatalf("%q: they say %v", value, err)
		}
		if id != got.ID {
			t.Fatalf("%q: we say %q, they %q", value, got.ID, id)
		}
		if strings.Contains(strings.Join(strings.Fields(value), " "), " =") || strings.Contains(value, "= ") || strings.Contains(value, "=\t") || strings.Contains(value, "=\r") || strings.Contains(value, "=\n") {
			return
		}
		if len(results) != len(got.Methods) {
			t.Fatalf("%q: we have %d results, they %d", value, len(got.Methods), len(results))
		}
		for i, m := range got.Methods {
			generic, ok := results[i].(*peer.GenericResult)
			if !ok {
				continue
			}
			if generic.Method != m.Name || string(generic.Value) != string(m.Result) {
				t.Fatalf("%q: we say %s=%s, they %s=%s", value, m.Name, m.Result, generic.Method, generic.Value)
			}
			if m.Reason != "" && generic.Params["reason"] != m.Reason {
				t.Fatalf("%q: reason %q, theirs %q", value, m.Reason, generic.Params["reason"])
			}
			last := map[string]string{} // they keep the last of a name
			for _, p := range m.Properties {
				last[p.Type+"."+p.Name] = p.Value
			}
			for name, v := range last {
				if theirs, ok := generic.Params[name]; ok && theirs != v {
					t.Fatalf("%q: %s is %q, theirs %q", value, name, v, theirs)
				}
			}
		}
	})
}

// TestPeerReads shows that go-msgauth reads the fields we write, values that
// need quotes aside: it takes those with their quotes.
func TestPeerReads(t *testing.T) {
	r := authres.Results{ID: "mx.example.org", Methods: []authres.Method{
		{Name: "spf", Result: authres.SoftFail, Properties: []authres.Property{{Type: "smtp", Name: "mailfrom", Value: "ann@example.org"}, {Type: "smtp", Name: "helo", Value: "mail.example.org"}}},
		{Name: "dkim", Result: authres.Pass, Properties: []authres.Property{{Type: "header", Name: "d", Value: "example.org"}, {Type: "header", Name: "i", Value: "@example.org"}}},
		{Name: "dmarc", Result: authres.Fail, Reason: "unaligned", Properties: []authres.Property{{Type: "header", Name: "from", Value: "example.org"}}},
	}}
	id, results, err := peer.Parse(strings.TrimPrefix(field(t, r), "Authentication-Results:"))
	if err != nil || id != "mx.example.org" || len(results) != 3 {
		t.Fatalf("%q, %d results, %v", id, len(results), err)
	}
	if got := results[0].(*peer.SPFResult); got.Value != peer.ResultSoftFail || got.From != "ann@example.org" || got.Helo != "mail.example.org" {
		t.Errorf("%+v", got)
	}
	if got := results[1].(*peer.DKIMResult); got.Value != peer.ResultPass || got.Domain != "example.org" || got.Identifier != "@example.org" {
		t.Errorf("%+v", got)
	}
	if got := results[2].(*peer.DMARCResult); got.Value != peer.ResultFail || got.Reason != "unaligned" || got.From != "example.org" {
		t.Errorf("%+v", got)
	}
}
