package authres_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/authres"
)

// field writes r, and asserts that the field is one.
func field(t testing.TB, r authres.Results) string {
	t.Helper()
	got, err := r.Field()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(got, "\r\n") || !strings.HasPrefix(got, "Authentication-Results: ") {
		t.Fatalf("not a field: %q", got)
	}
	for i, line := range strings.Split(strings.TrimSuffix(got, "\r\n"), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") || i > 0 && line[0] != '\t' || strings.TrimSpace(line) == "" {
			t.Fatalf("line %d of %q", i, got)
		}
	}
	return got
}

func TestField(t *testing.T) {
	property := func(value string) authres.Results {
		return authres.Results{ID: "mx.example.org", Methods: []authres.Method{{Name: "spf", Result: "pass", Properties: []authres.Property{{Type: "smtp", Name: "mailfrom", Value: value}}}}}
	}
	for _, tt := range []struct {
		name string
		r    authres.Results
		want string
	}{
		{"none", authres.Results{ID: "mx.example.org", Version: 1}, " mx.example.org 1; none\r\n"},
		{"an authserv-id with spaces", authres.Results{ID: "a b"}, " \"a b\"; none\r\n"},
		{"folds", authres.Results{ID: "mx.example.org", Methods: []authres.Method{
			{Name: "DKIM", Version: 1, Result: "Fail", Reason: "body hash does not verify", Properties: []authres.Property{
				{Type: "Header", Name: "D", Value: "example.org"}, {Type: "header", Name: "s", Value: "2026"}, {Type: "header", Name: "b", Value: "ab/cd+ef"},
			}},
			{Name: "iprev", Result: authres.Pass, Properties: []authres.Property{{Type: "policy", Name: "iprev", Value: "2001:db8::1"}}},
		}}, " mx.example.org;\r\n\tdkim/1=fail reason=\"body hash does not verify\" header.d=example.org\r\n\theader.s=2026 header.b=\"ab/cd+ef\";\r\n\tiprev=pass policy.iprev=\"2001:db8::1\"\r\n"},
		{"an address", property("ann+x_y.z-1@example.org"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=ann+x_y.z-1@example.org\r\n"},
		{"a domain behind '@'", property("@example.org"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=@example.org\r\n"},
		{"nothing", property(""), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"\"\r\n"},
		{"another result", property("x; dkim=pass header.d=bank.example"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"x; dkim?pass header.d?bank.example\"\r\n"},
		{"quotes", property(`x" ; dkim=pass (\`), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"x\\\" ; dkim?pass ?\\\\\"\r\n"},
		{"a result with white space", property("dmarc = \t PASS"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"dmarc ? ? PASS\"\r\n"},
		{"a result with a comment", property("dmarc=(x)pass"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"dmarc=?x?pass\"\r\n"},
		{"a result in quotes", property(`dmarc="pass"`), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"dmarc?\\\"pass\\\"\"\r\n"},
		{"a property with white space", property("Header . From = bank.example"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"Header . From ? bank.example\"\r\n"},
		{"a rewritten sender", property("SRS0=Ab1=XY=uni-passau.example=ann@example.org"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"SRS0=Ab1=XY=uni-passau.example=ann@example.org\"\r\n"},
		{"a comment", property("a(b)@c"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"a?b?@c\"\r\n"},
		{"two '@'", property("a@b@c"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"a@b@c\"\r\n"},
		{"lines", property("a\r\nX: y\x00\x7f\t"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"a??X: y???\"\r\n"},
		{"U-labels", property("ann@Bücher.example"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=ann@xn--bcher-kva.example\r\n"},
		{"a local part outside ASCII", property("änn@bücher.example\u202e"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"?nn@b?cher.example?\"\r\n"},
		{"not UTF-8", property("\xff\xfe"), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"??\"\r\n"},
		{"UTF-8 where it may be", func() authres.Results { r := property("änn@bücher.example\u202e\xff"); r.UTF8 = true; return r }(), " mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"änn@bücher.example??\"\r\n"},
		{"a reason outside ASCII", authres.Results{ID: "a", Methods: []authres.Method{{Name: "x", Result: "y", Reason: "é.é"}}}, " a;\r\n\tx=y reason=\"?.?\"\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := field(t, tt.r)
			if want := "Authentication-Results:" + tt.want; got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if _, err := authres.Parse(strings.TrimPrefix(got, "Authentication-Results:")); err != nil {
				t.Error(err)
			}
		})
	}
	for _, bad := range []authres.Results{
		{}, {ID: "a\r\nb"},
		{ID: "a", Methods: []authres.Method{{Result: "pass"}}},
		{ID: "a", Methods: []authres.Method{{Name: "x"}}},
		{ID: "a", Methods: []authres.Method{{Name: "x y", Result: "pass"}}},
		{ID: "a", Methods: []authres.Method{{Name: "x", Result: "pass;"}}},
		{ID: "a", Methods: []authres.Method{{Name: "x", Result: "pass", Properties: []authres.Property{{Type: "a.b", Name: "c"}}}}},
		{ID: "a", Methods: []authres.Method{{Name: "x", Result: "pass", Properties: []authres.Property{{Type: "a"}}}}},
	} {
		if got, err := bad.Field(); err == nil || got != "" || !strings.HasPrefix(err.Error(), "authres: ") {
			t.Errorf("%q, %v", got, err)
		}
	}
	long := property(strings.Repeat(`"`, 5000))
	long.ID = strings.Repeat("é", 5000)
	field(t, long)
}

// FuzzField asserts that whatever a sender says comes back as one value, in a
// field that parses to the same methods.
func FuzzField(f *testing.F) {
	f.Add("ann@example.org", "because", "mx.example.org", false)
	f.Add("x\"; dkim=pass header.d=\\", "(", "a b", true)
	f.Add("é@\xff\r\n", "\u2028;", "mx", true)
	f.Fuzz(func(t *testing.T, value, reason, id string, utf8 bool) {
		r := authres.Results{ID: id, UTF8: utf8, Methods: []authres.Method{
			{Name: "spf", Result: authres.Fail, Reason: reason, Properties: []authres.Property{{Type: "smtp", Name: "mailfrom", Value: value}, {Type: "smtp", Name: "helo", Value: reason}}},
			{Name: "dmarc", Result: authres.None},
		}}
		if _, err := r.Field(); err != nil {
			return // of the authserv-id
		}
		written := field(t, r)
		got, err := authres.Parse(strings.TrimPrefix(written, "Authentication-Results:"))
		if err != nil {
			t.Fatalf("%q: %v", written, err)
		}
		values := got.Methods[0].Reason + "\n" + got.Methods[0].Properties[0].Value + "\n" + got.Methods[0].Properties[1].Value
		if tells.MatchString(values) || strings.ContainsAny(values, "()") {
			t.Fatalf("%q says %q", written, values)
		}
		if len(got.Methods) != 2 || len(got.Methods[0].Properties) != 2 || got.Methods[0].Result != authres.Fail || got.Methods[1].Result != authres.None {
			t.Fatalf("%q: %s", written, text(got))
		}
		if clean(value) && got.Methods[0].Properties[0].Value != value || clean(reason) && got.Methods[0].Reason != reason {
			t.Fatalf("%q: %s", written, text(got))
		}
		got.UTF8 = utf8
		if again := field(t, got); again != written && clean(id) {
			t.Fatalf("%q, then %q", written, again)
		}
	})
}

// tells finds what a reader who knows no quotes may take for a result or a property.
var tells = regexp.MustCompile(`(?i)=[^a-z0-9_-]*pass|(^|[^a-z0-9_-])(smtp|header|body|policy|dns) *\. *[a-z0-9_-]* *=`)

// clean reports whether text is written as it is.
func clean(text string) bool {
	return len(text) <= 400 && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '(' || r == ')' }) && !tells.MatchString(text)
}

// FuzzParse asserts that what parses is written, and parses again alike.
func FuzzParse(f *testing.F) {
	f.Add("foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail policy (A dot can go here) . (like that) expired (this surprised me) = (as I wasn't expecting it) 1362471462")
	f.Add("a.example; x=" + strings.Repeat("5", 1100) + " smtp.y=z")
	f.Add(`a.example; spf=pass reason="b; dkim=pass" smtp.mailfrom="c;d"@e.example; none=x;`)
	f.Fuzz(func(t *testing.T, value string) {
		first, err := authres.Parse(value)
		if err != nil {
			return
		}
		first.UTF8 = true
		if _, err := first.Field(); err != nil {
			if strings.ContainsAny(first.ID, "\t\x7f") || first.ID == "" || strings.ContainsFunc(first.ID, func(r rune) bool { return r >= 0x80 }) {
				return
			}
			t.Fatal(err)
		}
		again, err := authres.Parse(strings.TrimPrefix(field(t, first), "Authentication-Results:"))
		if err != nil {
			t.Fatalf("%q: %v", field(t, first), err)
		}
		if clean(value) && text(again) != text(first) && len(value) < 400 {
			t.Fatalf("got  %s\nwant %s", text(again), text(first))
		}
		if len(again.Methods) != len(first.Methods) {
			t.Fatalf("got  %s\nwant %s", text(again), text(first))
		}
	})
}
