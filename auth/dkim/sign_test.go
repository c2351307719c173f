package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestSignConfig(t *testing.T) {
	_, err := NewSigner(SignConfig{Header: "x", Body: "y", Fields: []string{"A b", "dkim-signature"}, Oversign: 9, Expire: -1, HeaderBytes: -1})
	for _, field := range []string{"Header", "Body", "Fields[0]", "Fields[1]", "Oversign", "Expire", "HeaderBytes"} {
		if !strings.Contains(fmt.Sprint(err), "dkim: SignConfig."+field) {
			t.Errorf("%v: nothing of %s", err, field)
		}
	}
}

func TestKeyErrors(t *testing.T) {
	keys, _ := pair(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]Key{
		"no domain":      {Selector: "s", Private: keys[0].Private},
		"one label":      {Domain: "org", Selector: "s", Private: keys[0].Private},
		"tags in it":     {Domain: "example.org; l=0", Selector: "s", Private: keys[0].Private},
		"no selector":    {Domain: "example.org", Private: keys[0].Private},
		"a bad selector": {Domain: "example.org", Selector: "s;", Private: keys[0].Private},
		"no key":         {Domain: "example.org", Selector: "s"},
		"another key":    {Domain: "example.org", Selector: "s", Private: other},
		"identity":       {Domain: "example.org", Selector: "s", Private: keys[0].Private, Identity: "a@example.net"},
		"identity alone": {Domain: "example.org", Selector: "s", Private: keys[0].Private, Identity: "example.org"},
	} {
		if fields, err := signer(t, SignConfig{}).Sign(context.Background(), strings.NewReader(message), k); err == nil {
			t.Errorf("%s: %q", name, fields)
		}
	}
}

// TestSignRoundTrip signs in each way messages that are hard, and verifies them.
func TestSignRoundTrip(t *testing.T) {
	keys, z := pair(t)
	v := verifier(t, Config{Resolver: z})
	for _, header := range []Canonicalization{Relaxed, Simple} {
		for _, body := range []Canonicalization{Relaxed, Simple} {
			for _, oversign := range []Oversign{OversignDefault, OversignNone, OversignAll} {
				s := signer(t, SignConfig{Header: header, Body: body, Oversign: oversign, Expire: time.Hour})
				for name, text := range hard(300) {
					got := signed(t, s, text, keys...)
					report := verify(t, v, []byte(strings.ReplaceAll(strings.ReplaceAll(got, "\r\n", "\n"), "\n", "\r\n")))
					if len(report.Signatures) < 2 || report.Signatures[0].Result != Pass || report.Signatures[1].Result != Pass {
						t.Errorf("%s/%s of %s: %+v", header, body, name, report.Signatures)
					}
				}
			}
		}
	}
}

// TestSignField holds the field to its exact form.
func TestSignField(t *testing.T) {
	keys, _ := pair(t)
	keys[1].Identity = "ann smith;=@Example.org"
	s := signer(t, SignConfig{Expire: 7 * 24 * time.Hour})
	fields, err := s.sign(context.Background(), strings.NewReader(message), given(keys[1]), time.Unix(1784887200, 0))
	if err != nil {
		t.Fatal(err)
	}
	field := fields[0]
	b := field[strings.LastIndex(field, "b=")+2:]
	const want = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org;\r\n" +
		" s=s2; i=ann=20smith=3B=3D@example.org; t=1784887200; x=1785492000; h=From:\r\n" +
		" From:Reply-To:To:To:Cc:Subject:Subject:Date:Date:Message-ID:Message-ID;\r\n" +
		" bh=7yInPMjvGBlQ7SeA2m+RjcCst06gRqg79V9dpn9c0BE=;\r\n b="
	if got := strings.TrimSuffix(field, b); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	keys[0].Domain = "mail." + strings.Repeat("long-label.", 20) + "example.org"
	fields, err = s.Sign(context.Background(), strings.NewReader(message), keys[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(fields[0], "\r\n"), "\r\n") {
		switch {
		case len(line) > 78 && !strings.Contains(line, keys[0].Domain):
			t.Errorf("line of %d octets: %q", len(line), line)
		case i > 0 && (line[0] != ' ' || strings.TrimSpace(line) == "" || line != strings.TrimRight(line, " ")):
			t.Errorf("a bad fold: %q", line)
		}
	}
}

func TestSignedFields(t *testing.T) {
	keys, z := pair(t)
	const text = "From: a@example.org\r\nTo: b@example.com\r\nTo: c@example.com\r\nX-A: 1\r\nReceived: x\r\nReturn-Path: <>\r\n" +
		"List-Id: <l.example.org>\r\nResent-From: d@example.org\r\n\r\n"
	for _, tt := range []struct {
		cfg  SignConfig
		want string
	}{
		{SignConfig{}, "From:From:Reply-To:To:To:To:Cc:Subject:Resent-From:List-Id"},
		{SignConfig{Oversign: OversignNone}, "From:To:To:Resent-From:List-Id"},
		{SignConfig{Fields: []string{"x-a", "to"}}, "From:From:x-a:to:to:to"},
		{SignConfig{Fields: []string{"X-A", "Cc"}, Oversign: OversignAll}, "From:From:X-A:Cc:Sender:Reply-To:To:To:To:Bcc:Date:Subject:Message-ID:" +
			"In-Reply-To:References:MIME-Version:Content-Type:Content-Transfer-Encoding:Content-ID:Content-Description"},
		{SignConfig{Fields: []string{}}, "From:From"},
	} {
		got := judged(t, verifier(t, Config{Resolver: z}), signed(t, signer(t, tt.cfg), text, keys[0]))
		if got.Result != Pass || strings.Join(got.Signed, ":") != tt.want {
			t.Errorf("%+v: %s %s, h=%s, want %s", tt.cfg, got.Result, got.Reason, strings.Join(got.Signed, ":"), tt.want)
		}
	}
	if got := DefaultFields(); !slices.Contains(got, "List-Unsubscribe-Post") || slices.Contains(got, "Received") {
		t.Error(got)
	}
}

func TestSignErrors(t *testing.T) {
	keys, _ := pair(t)
	s := signer(t, SignConfig{HeaderBytes: 10000})
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		r    io.Reader
		want error
	}{
		"no From":         {strings.NewReader("To: a\r\n\r\n"), ErrAuthor},
		"two From":        {strings.NewReader("From: a@b.c\r\nFrom: a@b.c\r\n\r\n"), ErrAuthor},
		"bare CR":         {strings.NewReader("From: a@b.c\r\n\r\na\rb"), ErrBareCR},
		"bare CR in From": {strings.NewReader("From: a\r@b.c\r\n\r\nab"), ErrBareCR},
		"bare CR at last": {strings.NewReader("From: a@b.c\r\n\r\nab\r"), ErrBareCR},
		"large header":    {strings.NewReader("From: a@b.c\r\nX:" + strings.Repeat("x", 10000) + "\r\n\r\n"), ErrHeader},
		"reader":          {io.MultiReader(strings.NewReader("From: a@b.c\r\n\r\na"), iotest.ErrReader(broken)), broken},
	} {
		if fields, err := s.Sign(context.Background(), tt.r, keys...); !errors.Is(err, tt.want) || fields != nil {
			t.Errorf("%s: %v, %v", name, fields, err)
		}
	}
	away := Key{Domain: "example.org", Selector: "s", Private: remote{keys[0].Private, func() error { return broken }}}
	if fields, err := s.Sign(context.Background(), strings.NewReader(message), keys[0], away); !errors.Is(err, broken) || fields != nil {
		t.Errorf("a key that fails: %v, %v", fields, err)
	}
	if fields, err := s.Sign(context.Background(), strings.NewReader(message)); err != nil || fields != nil {
		t.Errorf("no key: %v, %v", fields, err)
	}
}

// remote is a key that is somewhere else.
type remote struct {
	crypto.Signer
	call func() error
}

func (r remote) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := r.call(); err != nil {
		return nil, err
	}
	return r.Signer.Sign(rand, digest, opts)
}

// TestSignSideBySide waits for far keys once, not one after the other.
func TestSignSideBySide(t *testing.T) {
	keys, z := pair(t)
	for i := range keys {
		keys[i].Private = remote{keys[i].Private, func() error { time.Sleep(time.Second); return nil }}
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		text := signed(t, signer(t, SignConfig{}), message, keys...)
		if d := time.Since(began); d != time.Second {
			t.Errorf("took %v", d)
		}
		if report := verify(t, verifier(t, Config{Resolver: z}), []byte(text)); report.Signatures[0].Selector != "s1" || report.Result() != Pass {
			t.Errorf("%+v", report)
		}
	})
}

type sourceFunc func(string) []Key

func (f sourceFunc) Keys(domain string) []Key { return f(domain) }

// TestSignAuthor picks keys by the author domain.
func TestSignAuthor(t *testing.T) {
	keys, _ := pair(t)
	source := sourceFunc(func(domain string) []Key {
		if domain == "example.org" {
			return keys
		}
		return nil
	})
	s := signer(t, SignConfig{})
	for from, want := range map[string]int{
		"ann@example.org": 2, "Ann <ann@a.b.EXAMPLE.org>": 2, "ann@example.org, bob@example.net": 2,
		"bob@example.net, ann@example.org": 0, "ann@notexample.org": 0, "ann@org": 0,
		"ann": -1, "ann@example.org <bob@example.net>": -1, "": -1,
	} {
		fields, err := s.SignAuthor(context.Background(), strings.NewReader("From: "+from+"\r\n\r\n"), source)
		if want < 0 && !errors.Is(err, ErrAuthor) || want >= 0 && (err != nil || len(fields) != want) {
			t.Errorf("%q: %d fields, %v", from, len(fields), err)
		}
	}
}

// TestSignStream signs 50 MiB, and holds what is allocated to a mebibyte.
func TestSignStream(t *testing.T) {
	keys, _ := pair(t)
	s := signer(t, SignConfig{})
	line := bytes.Repeat([]byte("a line of  text \t with white space\r\n\r\n\r\n"), 1000)
	text := func() io.Reader {
		parts := []io.Reader{strings.NewReader(message)}
		for range 50 << 20 / len(line) {
			parts = append(parts, bytes.NewReader(line))
		}
		return io.MultiReader(parts...)
	}
	r := text()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := s.Sign(context.Background(), r, keys...); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d octets allocated", n)
	}
}
