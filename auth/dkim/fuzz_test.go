package dkim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// fuzzKey is the key of RFC 8463, appendix A.
func fuzzKey() (Key, zone) {
	private := ed25519.NewKeyFromSeed([]byte("fuzz: 32 octets for an Ed25519 k"))
	k := Key{Domain: "example.org", Selector: "s1", Private: private}
	z := zone{}
	text, _ := Record(private.Public())
	z.set(k.Name(), text)
	return k, z
}

// FuzzVerify holds what we make of any message to what go-msgauth makes of it.
// Where one passes and the other does not, there is a rule that says why.
func FuzzVerify(f *testing.F) {
	key, z := fuzzKey()
	for _, text := range hard(30) {
		for _, c := range canons {
			s := signer(f, SignConfig{Header: c, Body: c})
			f.Add(signed(f, s, text, key))
		}
	}
	v := verifier(f, Config{Resolver: z, Limits: Limits{Signatures: 4}, Partial: true})
	lookup := func(name string) ([]string, error) { return z.LookupTXT(context.Background(), name) }
	f.Fuzz(func(t *testing.T, text string) {
		report, err := v.VerifyReceived(context.Background(), iotest.HalfReader(strings.NewReader(text)), whenSuites)
		if err != nil {
			return
		}
		for _, s := range report.Signatures {
			if s.Result == "" || s.Result == Pass != (s.Reason == "") || s.Result == Pass && (s.Domain != "example.org" || s.KeyBits == 0) {
				t.Fatalf("%+v", s)
			}
		}
		list, err := msgauth.VerifyWithOptions(strings.NewReader(text), &msgauth.VerifyOptions{LookupTXT: lookup, MaxVerifications: 4})
		if err != nil || len(list) != len(report.Signatures) {
			return // it reads the header otherwise, or refuses it
		}
		for i, theirs := range list {
			ours := report.Signatures[i]
			if (ours.Result == Pass) == (theirs.Err == nil) {
				continue
			}
			if why := differs(text, ours, theirs); why == "" {
				t.Errorf("%q\nours:   %s %s\ntheirs: %v", text, ours.Result, ours.Reason, theirs.Err)
			}
		}
	})
}

// differs says why we differ from go-msgauth; "" if nothing does.
func differs(text string, ours Signature, theirs *msgauth.Verification) string {
	strict := strings.ReplaceAll(text, "\r\n", "")
	switch {
	case !wellFormed(text):
		return "where the header section ends: it takes lines for fields that are none (RFC 5322, section 2.2)"
	case strings.ContainsAny(strict, "\r\n"):
		return "it takes bare LF for CRLF: RFC 6376, section 5.3, has the sender do so, before it signs"
	case ours.Result == Policy && ours.Reason == "there is a From field that is not signed":
		return "section 8.15"
	case ours.Result == Policy && strings.HasPrefix(ours.Reason, "signature "): // from the future
		return "section 3.5, t= and x=, at the time that is given"
	case theirs.Err == nil && ours.Result == Neutral:
		return "section 6.1.1: it lets pass what is no tag list, no list of fields, no time, no domain"
	case theirs.Err == nil && ours.Reason == "the key is for no subdomain of d=":
		return "section 3.6.1, t=s"
	case theirs.Err != nil && strings.Contains(theirs.Err.Error(), "expired"):
		return "section 3.5, x=, at the time that is given"
	case theirs.Err != nil && strings.Contains(theirs.Err.Error(), "domain"):
		return "it compares the domains of i= and d= by case"
	case theirs.Err != nil && strings.Contains(theirs.Err.Error(), "base64"):
		return "it does not read base64 with tabs or without padding: section 2.10"
	case theirs.Err != nil && strings.Contains(theirs.Err.Error(), "body length"):
		return "it refuses l=: a policy"
	}
	return ""
}

// wellFormed reports whether the header section ends with the first empty line,
// as for who does not look at what is in it.
func wellFormed(text string) bool {
	run, err := mailsig.New(mailsig.Limits{}, nil).Start(strings.NewReader(text))
	if err != nil {
		return false
	}
	defer run.Close()
	size := 0
	for _, f := range run.Header.Fields {
		size += len(f.Raw)
	}
	return strings.Index(text, "\r\n\r\n") == size-2
}

// FuzzSign: what we sign verifies, here and with go-msgauth, whatever it is.
func FuzzSign(f *testing.F) {
	key, z := fuzzKey()
	for _, text := range hard(30) {
		f.Add(text, false, true)
	}
	v := verifier(f, Config{Resolver: z})
	lookup := func(name string) ([]string, error) { return z.LookupTXT(context.Background(), name) }
	f.Fuzz(func(t *testing.T, text string, simpleHeader, simpleBody bool) {
		cfg := SignConfig{}
		if simpleHeader {
			cfg.Header = Simple
		}
		if simpleBody {
			cfg.Body = Simple
		}
		fields, err := signer(t, cfg).Sign(context.Background(), iotest.HalfReader(strings.NewReader(text)), key)
		if err != nil {
			return
		}
		wire := fields[0] + strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		report, err := v.VerifyReceived(context.Background(), strings.NewReader(wire), time.Now())
		if err != nil || report.Signatures[0].Result != Pass {
			t.Fatalf("%q: %+v, %v", wire, report, err)
		}
		list, err := msgauth.VerifyWithOptions(strings.NewReader(wire), &msgauth.VerifyOptions{LookupTXT: lookup, MaxVerifications: 1})
		if err == nil && (len(list) == 0 || list[0].Err != nil) && wellFormed(wire) {
			t.Fatalf("%q: go-msgauth: %v", wire, list[0].Err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	key, _ := fuzzKey()
	text, err := MarshalKey(key.Private)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.Replace(text, []byte("PRIVATE"), []byte("RSA PRIVATE"), 2))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := ParseKey(text)
		if err != nil {
			return
		}
		if _, err := (Key{Domain: "example.org", Selector: "s", Private: key}).prepare(); err != nil {
			t.Errorf("a key that does not sign: %v", err)
		}
	})
}
