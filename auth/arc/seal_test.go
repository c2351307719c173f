package arc

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
)

const message = "From: Ann <ann@example.net>\r\nTo: Bob <bob@example.com>,\r\n Cleo <cleo@example.com>\r\nSubject:  The  minutes\r\n" +
	"Date: Fri, 24 Jul 2026 09:59:58 +0000\r\nMessage-ID: <1@example.net>\r\nMIME-Version: 1.0\r\n\r\n" +
	"Dear all,\r\n\r\nhere  are the minutes. \r\n\r\n-- \r\nAnn\r\n\r\n"

// key is a key of host, published in z.
func key(t testing.TB, z zone, host, kind string) Key {
	t.Helper()
	k := Key{Domain: host, Selector: "s1"}
	if kind == "ed25519" {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		k.Private, z["s1._domainkey."+host] = private, "v=DKIM1; k=ed25519; p="+base64.StdEncoding.EncodeToString(public)
		return k
	}
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	k.Private, z["s1._domainkey."+host] = private, "v=DKIM1; k=rsa; p="+base64.StdEncoding.EncodeToString(der)
	return k
}

func validator(t testing.TB, z zone) *Validator {
	t.Helper()
	v, err := New(Config{Resolver: z, Oldest: true})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func validated(t testing.TB, z zone, message string) *Chain {
	t.Helper()
	chain, err := validator(t, z).Validate(t.Context(), strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// sealed is message, changed on the way, with one more set on top.
func sealed(t testing.TB, z zone, message string, change func(string) string, k Key) string {
	t.Helper()
	s, err := NewSealer(SealConfig{})
	if err != nil {
		t.Fatal(err)
	}
	chain := validated(t, z, message)
	if change != nil {
		message = change(message)
	}
	fields, err := s.Seal(t.Context(), strings.NewReader(message), chain, k.Domain+"; arc="+string(chain.Status)+";\r\n spf=pass smtp.mailfrom=ann@example.net; dmarc=pass header.from=example.net", k)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(fields, "") + message
}

func footer(m string) string {
	return strings.Replace(m, "Subject:  The", "Subject: [list] The", 1) + "-- the list\r\n"
}

// A chain of several hosts, which change the message, validates, and breaks at
// whatever is changed afterwards.
func TestSeal(t *testing.T) {
	z := zone{}
	hosts := []Key{key(t, z, "one.example", "rsa"), key(t, z, "two.example", "ed25519"), key(t, z, "three.example", "rsa")}
	m := message
	for i, k := range hosts {
		m = sealed(t, z, m, footer, k)
		chain := validated(t, z, m)
		if chain.Status != Pass || len(chain.Sets) != i+1 {
			t.Fatalf("after %d: %+v", i+1, chain)
		}
		for line := range strings.SplitSeq(m, "\r\n") {
			if len(line) > 78 {
				t.Errorf("a line of %d octets: %s", len(line), line)
			}
		}
	}
	chain := validated(t, z, m)
	if chain.Oldest != 3 || !slices.Equal(chain.Sealers(), []string{"one.example", "two.example", "three.example"}) {
		t.Errorf("%+v", chain)
	}
	for _, tt := range []struct {
		trusted []string
		want    int // instance, 0 for none
	}{
		{[]string{"one.example", "two.example", "three.example"}, 1},
		{[]string{"*.example"}, 1},
		{[]string{"three.example", "two.example"}, 2},
		{[]string{"three.example", "one.example"}, 3},
		{[]string{"one.example", "two.example"}, 0},
		{[]string{"*.three.example"}, 0},
		{nil, 0},
	} {
		s, ok := chain.Trusted(tt.trusted...)
		if ok != (tt.want > 0) || ok && (s.Instance != tt.want || !strings.Contains(s.Results, "dmarc=pass header.from=example.net")) {
			t.Errorf("trusted %v: %+v, %t", tt.trusted, s, ok)
		}
	}
	for name, changed := range map[string]string{
		"body":             m + "more\r\n",
		"subject":          strings.Replace(m, "Subject: [list]", "Subject: [other]", 1),
		"second From":      "From: ceo@bank.example\r\n" + m,
		"second Subject":   "subject: pay\r\n" + m,
		"a Reply-To":       "Reply-To: ceo@evil.example\r\n" + m,
		"a Cc":             "Cc: bob@example.com\r\n" + m,
		"second Date":      "Date: Fri, 24 Jul 2026 09:59:58 +0000\r\n" + m,
		"second version":   "MIME-Version: 1.0\r\n" + m,
		"results of one":   strings.Replace(m, "one.example; arc=none", "one.example; arc=pass", 1),
		"results of three": strings.Replace(m, "three.example; arc=pass", "three.example; arc=none", 1),
		"a set twice":      m[:strings.Index(m, "From: ")] + m,
		"a selector":       strings.Replace(m, "s=s1", "s=s2", 1),
	} {
		if got := validated(t, z, changed); got.Status != Fail || got.Reason == "" || got.Oldest > 3 {
			t.Errorf("%s: %+v", name, got)
		}
		if _, ok := validated(t, z, changed).Trusted("*.example"); ok {
			t.Errorf("%s: trusted", name)
		}
	}
}

// What hosts add on the way, the seal does not mind.
func TestSealAdded(t *testing.T) {
	z := zone{}
	m := sealed(t, z, message, nil, key(t, z, "one.example", "ed25519"))
	for _, field := range []string{"Received: from a by b", "Return-Path: <a@b.example>", "X-Spam: no", "Authentication-Results: a.example; none", "Sender: list@example.org", "Content-Type: text/plain", "DKIM-Signature: v=1"} {
		chain := validated(t, z, field+"\r\n"+m)
		if chain.Status != Pass {
			t.Errorf("%s: %+v", field, chain)
		}
	}
}

// A chain that has failed is sealed once more, alone, and then no more.
func TestSealFailed(t *testing.T) {
	z := zone{}
	k := key(t, z, "one.example", "rsa")
	m := sealed(t, z, message, nil, k) + "changed\r\n"
	m = sealed(t, z, m, nil, k)
	if !strings.Contains(m, "cv=fail") || !strings.HasPrefix(m, "ARC-Seal: i=2;") {
		t.Errorf("sealed is\n%s", m)
	}
	chain := validated(t, z, m)
	if chain.Status != Fail || !strings.Contains(chain.Reason, "failed before") {
		t.Errorf("%+v", chain)
	}
	s, err := NewSealer(SealConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(t.Context(), strings.NewReader(m), chain, "one.example; arc=fail", k); !errors.Is(err, ErrSealed) {
		t.Errorf("sealed again: %v", err)
	}
}

func TestSealRefuses(t *testing.T) {
	z := zone{}
	k := key(t, z, "one.example", "rsa")
	s, err := NewSealer(SealConfig{})
	if err != nil {
		t.Fatal(err)
	}
	fresh := &Chain{Status: None}
	for _, tt := range []struct {
		name, message, results string
		chain                  *Chain
		key                    Key
		want                   string
	}{
		{"no results", message, "", fresh, k, "results"},
		{"a line end", message, "one.example; spf=pass\r\nX-Evil: y", fresh, k, "results"},
		{"a bare LF", message, "one.example; spf=pass\n x", fresh, k, "results"},
		{"NUL", message, "one.example; spf=\x00", fresh, k, "results"},
		{"bare CR", "From: a@b.example\r\n\r\nx\ry\r\n", "one.example; none", fresh, k, "bare CR"},
		{"no status", message, "one.example; none", &Chain{}, k, "status"},
		{"no key", message, "one.example; none", fresh, Key{Domain: "one.example", Selector: "s1"}, "no private key"},
		{"no domain", message, "one.example; none", fresh, Key{Domain: "one", Selector: "s1", Private: k.Private}, "not a domain name"},
		{"other fields", sealed(t, z, message, nil, k), "one.example; none", fresh, k, "not as it was validated"},
	} {
		if fields, err := s.Seal(t.Context(), strings.NewReader(tt.message), tt.chain, tt.results, tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q, %v", tt.name, fields, err)
		}
	}
	if _, err := NewSealer(SealConfig{Fields: []string{"a b", "ARC-Seal", "authentication-results"}, HeaderBytes: -1}); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("NewSealer: %v", err)
	}
	if _, err := New(Config{KeyBits: 512, Timeout: -1, Limits: Limits{Sets: 51, Keys: -1}}); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("New: %v", err)
	}
}
