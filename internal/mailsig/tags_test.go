package mailsig

import (
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTags(t *testing.T) {
	for _, tt := range []struct{ list, want string }{
		{"v=1", "v=1"},
		{"v=1;", "v=1"},
		{" v = 1 ;\r\n\ta=b c\t; ", "v=1 a=b c"},
		{"v=1; x_1=; y==", "v=1 x_1= y=="},
		{"v=1; V=2", "v=1 V=2"}, // names differ by case
		{"v=1; ü=2", ""},
		{"v=\u00fc", "v=\u00fc"}, // RFC 8616, section 4
		{"", ""}, {" ", ""}, {";", ""}, {"v", ""}, {"=1", ""}, {"v=1;;a=b", ""}, {"v=1; ; a=b", ""},
		{"v=1; v=1", ""}, {"v=1; 1v=2", ""}, {"v w=1", ""}, {"v=\x00", ""}, {"v=\x7f", ""},
		{strings.Repeat("x", maxTagName+1) + "=1", ""},
	} {
		var got []string
		tags, err := ParseTags(tt.list, nil)
		for _, tag := range tags {
			got = append(got, tag.Name+"="+tag.Value)
			if trim(tt.list[tag.Start:tag.End]) != tag.Value {
				t.Errorf("%q: %s is not at %d to %d", tt.list, tag.Name, tag.Start, tag.End)
			}
		}
		if strings.Join(got, " ") != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: %q, %v; want %q", tt.list, got, err, tt.want)
		}
	}
	var many strings.Builder
	for i := range maxTags + 1 {
		fmt.Fprintf(&many, "t%d=;", i)
	}
	if _, err := ParseTags(many.String(), nil); err != errTags {
		t.Errorf("many tags: %v", err)
	}
}

func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "YQ==": "a", "YQ": "a", "Y Q\t=\r\n =": "a", "YWI=": "ab", "YWJj": "abc",
	} {
		if got, err := decode(text); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"Y", "YQ===", "Y!==", "YQ==YQ==", "YW-_"} {
		if got, err := decode(text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestUnquote(t *testing.T) {
	for text, want := range map[string]string{"a@b": "a@b", "=41=3b@ b": "A;@b", "ü@b": "ü@b"} {
		if got, err := Unquote(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"=", "=4", "=4g", "a=4"} {
		if got, err := Unquote(text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}

const edKey = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" // RFC 8463, appendix A.2

func TestRecord(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string // what is wrong; "" for a record
	}{
		{"v=DKIM1; k=ed25519; p=" + edKey, ""},
		{"k=ed25519; p=" + edKey + ";", ""},
		{"v = DKIM1 ;   h\t=\tsha1 \t:\t SHA256:unknown\t;k=ed25519; n = notes...; p = 11qYAYKx CrfVS/7TyWQHO\tg7hcvPapiMlrwIaaPcHURo=  ;" +
			"s = email : tlsrpt; t = y\t: s; unknown = bogus;", ""},
		{"v=DKIM1; k=future; p=YWJj", ""},
		{"p=", ""}, {"V=DKIM2; p=", ""}, {"v=DKIM1; p=; ", ""},
		{"g=; k=ed25519; p=" + edKey, ""}, // no g= since RFC 6376
		{"", "not a list of tags"},
		{"v=spf1 -all", "v= is not DKIM1, or not the first tag"}, // of a wildcard
		{"p=; v=DKIM1", "v= is not DKIM1, or not the first tag"},
		{"v=dkim1; p=", "v= is not DKIM1, or not the first tag"},
		{"v=DKIM1.0; p=", "v= is not DKIM1, or not the first tag"},
		{"v=DKIM1", "no p= tag"},
		{"v=DKIM1; p=; p=", "more than one p= tag"},
		{"v=DKIM1; h=; p=" + edKey, "h= is empty"},
		{"v=DKIM1; p=***", "p= is not base64"},
		{"v=DKIM1; p=JDcbZ0Hpba5NKXI4UAW3G0IDhhFOxhJTDybZEwe1FeA=", "p= is not an RSA key"},
		{"v=DKIM1; k=ed25519; p=HbawiMnQXTCopHTkR0jlKQ==", "p= is not an Ed25519 key"},
		{"v=DKIM1; n=" + strings.Repeat("x", maxRecord), "over 8192 octets"},
	} {
		_, err := ParseRecord(tt.text)
		if got := fmt.Sprint(err); got != tt.want && (err != nil || tt.want != "") {
			t.Errorf("%.60q: %s, want %s", tt.text, got, tt.want)
		}
	}
	r, err := ParseRecord("k=ed25519; h=sha1:x; s=tlsrpt; t=y:s; n=a=20b; p=" + edKey)
	if err != nil || r.Mail() || r.Allows(SHA256) || !r.Allows(SHA1) || !r.Testing || !r.Strict || r.Bits != 256 || r.Notes != "a=20b" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = ParseRecord("p="); err != nil || !r.Revoked || !r.Mail() || !r.Allows(SHA256) || r.Type != "rsa" {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("v=DKIM1; k=ed25519; p=" + edKey)
	f.Add("v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB")
	f.Add("h=sha256:sha1; s=*; t=y:s; g=x; p=")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord(text)
		if err != nil {
			return
		}
		switch key := r.Public.(type) {
		case nil:
			if !r.Revoked && (r.Type == "rsa" || r.Type == "ed25519") {
				t.Error("no key")
			}
		case *rsa.PublicKey:
			if r.Type != "rsa" || r.Bits != key.N.BitLen() {
				t.Error("RSA")
			}
		case ed25519.PublicKey:
			if r.Type != "ed25519" || len(key) != ed25519.PublicKeySize {
				t.Error("Ed25519")
			}
		}
	})
}

const signature = " v=1; a=rsa-sha256; c=relaxed/simple; d=Example.ORG; s=2026;\r\n\tt=1; x=2; l=5; q=dns/txt;" +
	" h=From : to:\r\n subject; bh=YQ==; b=Y\r\n Q= =; i=@example.org"

func TestSignature(t *testing.T) {
	limits := New(Limits{SignedFields: 4}, nil).Limits
	s, err := ParseSignature(signature, limits)
	if err != nil {
		t.Fatal(err)
	}
	if s.Algorithm != RSASHA256 || s.Header != Relaxed || s.Body != Simple || s.Domain != "example.org" || s.Selector != "2026" ||
		s.KeyName != "2026._domainkey.example.org" || s.Length != 5 || s.Time.Unix() != 1 || s.Expires.Unix() != 2 ||
		string(s.hash) != "a" || string(s.signature) != "a" || s.Prefix(3) != "YQ=" {
		t.Errorf("%+v", s)
	}
	if got := slices.Collect(s.SignedFields()); !slices.Equal(got, []string{"From", "to", "subject"}) {
		t.Errorf("h=: %q", got)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"b=Y\r\n Q= =;", "b=;", "no b= tag"},
		{"bh=YQ==;", "", "no bh= tag"},
		{"b=Y", "b=!", "b= is not base64"},
		{"bh=YQ", "bh=!", "bh= is not base64"},
		{"d=Example.ORG", "d=org", "d= is not a domain name"},
		{"d=Example.ORG", "d=example.org.", "d= is not a domain name"},
		{"d=Example.ORG", "d=legit.example(.attacker.example", "d= is not a domain name"},
		{"d=Example.ORG", `d=legit.example'.attacker.example`, "d= is not a domain name"},
		{"d=Example.ORG", `d=legit.example\x00.attacker.example`, "d= is not a domain name"},
		{"d=Example.ORG", "d=[192.0.2.1]", "d= is not a domain name"},
		{"s=2026", "s=a b", "s= is not a selector"},
		{"s=2026", "s=.", "s= is not a selector"},
		{"s=2026", "s=" + strings.Repeat("a.", 120) + "b", "s= is not a selector"},
		{"c=relaxed/simple", "c=relaxed/", "c=: not supported"},
		{"c=relaxed/simple", "c=nowsp", "c=: not supported"},
		{"c=relaxed/simple", "c=", "c=: not supported"},
		{"a=rsa-sha256", "a=rsa-sha512", "a=: not supported"},
		{"h=From", "h=From:", "h= is not a list of field names"},
		{"h=From", "h=Fr om", "h= is not a list of field names"},
		{"h=From", "h=a:b:From", "over 4 fields in h="},
		{"l=5", "l=-5", "l= is not a number"},
		{"l=5", "l=" + strings.Repeat("1", 77), "l= is not a number"},
		{"l=5", "l=", "l= is not a number"},
		{"t=1", "t=1.5", "t= is not a time"},
		{"x=2", "x=", "x= is not a time"},
		{"x=2", "x=1", "x= is not after t="},
		{"q=dns/txt", "q=http", errMethod.Error()},
		{"i=@", "i=" + strings.Repeat("x", 16<<10) + "@", "over 16384 octets"},
	} {
		text := strings.Replace(signature, tt.old, tt.new, 1)
		if text == signature {
			t.Fatalf("%q is not in it", tt.old)
		}
		if _, err := ParseSignature(text, limits); fmt.Sprint(err) != tt.want {
			t.Errorf("%.60q: %v, want %s", tt.new, err, tt.want)
		}
	}
	for _, tt := range []struct{ old, new string }{
		{"l=5", "l=" + strings.Repeat("9", 76)}, {"t=1; x=2", "t=1; x=99999999999999999999999"}, {"q=dns/txt", "q=http/x:dns/txt"},
		{"c=relaxed/simple", "c=simple"}, {"d=Example.ORG", "d=bücher.example"}, {"s=2026", "s=a.b_c"}, {"h=From", "h=From:DKIM-Signature"},
	} {
		if _, err := ParseSignature(strings.Replace(signature, tt.old, tt.new, 1), limits); err != nil {
			t.Errorf("%.60q: %v", tt.new, err)
		}
	}
}

func TestParseSeal(t *testing.T) {
	limits := New(Limits{}, nil).Limits
	const seal = "i=1; a=rsa-sha256; t=1; x=0; cv=none; d=Example.ORG; s=2026; b=Y\r\n Q= ="
	s, err := ParseSeal(seal, limits)
	if err != nil || s.Algorithm != RSASHA256 || s.Header != Relaxed || s.Domain != "example.org" || s.KeyName != "2026._domainkey.example.org" ||
		s.Time.Unix() != 1 || !s.Expires.IsZero() || s.Length != -1 || string(s.signature) != "a" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"a=rsa-sha256; ", "", "no a= tag"}, {"d=Example.ORG; ", "", "no d= tag"}, {"s=2026; ", "", "no s= tag"},
		{"b=Y\r\n Q= =", "", "no b= tag"}, {"b=Y\r\n Q= =", "b=", "no b= tag"}, {"b=Y", "b=!", "b= is not base64"},
		{"t=1", "t=", "t= is not a time"}, {"t=1", "h=", "an h= tag"}, {"t=1", "h=from", "an h= tag"},
		{"a=rsa-sha256", "a=rsa-sha512", "a=: not supported"}, {"d=Example.ORG", "d=org", "d= is not a domain name"}, {"s=2026", "s=a b", "s= is not a selector"},
		{"i=1", "i=" + strings.Repeat("1", 16<<10), "over 16384 octets"},
	} {
		if _, err := ParseSeal(strings.Replace(seal, tt.old, tt.new, 1), limits); fmt.Sprint(err) != tt.want {
			t.Errorf("%.60q: %v, want %s", tt.new, err, tt.want)
		}
	}
}

// FuzzSignature: what is read of a signature is within bounds, and cutting its b=
// leaves no octet of it in what is hashed.
func FuzzSignature(f *testing.F) {
	f.Add(signature)
	f.Add("i=1;a=ed25519-sha256;cv=none;d=example.org;s=x;b = YQ ; t=9")
	f.Add("v=1;a=ed25519-sha256;d=example.org;s=x;h=from;bh=YQ;b = YQ ; t=9")
	f.Fuzz(func(t *testing.T, value string) {
		limits := New(Limits{}, nil).Limits
		s, err := ParseSignature(value, limits)
		if err != nil {
			if s, err = ParseSeal(value, limits); err != nil {
				return
			}
			s.signed = "from" // which a seal has no list of
		}
		n := 0
		for name := range s.SignedFields() {
			if n++; !IsFieldName(name) || n > limits.SignedFields {
				t.Fatalf("h= has %q", name)
			}
		}
		if s.Length < -1 || len(s.KeyName) > 253 || !strings.HasSuffix(s.KeyName, s.Domain) {
			t.Fatalf("%+v", s)
		}
		tags, err := ParseTags(value[:s.cutStart]+value[s.cutEnd:], nil)
		if err != nil {
			t.Fatalf("without b=: %v", err)
		}
		if b, ok := tags.Get("b"); !ok || b.Value != "" {
			t.Fatalf("b= is left: %q", b.Value)
		}
	})
}
