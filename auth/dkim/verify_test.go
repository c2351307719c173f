package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestConfig(t *testing.T) {
	_, err := New(Config{KeyBits: 512, Timeout: -1, Limits: Limits{Signatures: -1, Keys: -2}})
	for _, field := range []string{"KeyBits", "Timeout", "Limits.Signatures", "Limits.Keys"} {
		if !strings.Contains(fmt.Sprint(err), "dkim: "+field) {
			t.Errorf("%v: nothing of %s", err, field)
		}
	}
	if _, err := New(Config{KeyBits: 8192}); err == nil {
		t.Error("KeyBits over Limits.KeyBits")
	}
}

// TestSignature tells all of a signature that passes.
func TestSignature(t *testing.T) {
	keys, z := pair(t)
	keys[0].Identity = "ann@Sub.example.org"
	s := signer(t, SignConfig{Body: Simple, Fields: []string{"Subject", "To"}, Oversign: OversignNone, Expire: time.Hour})
	got := judged(t, verifier(t, Config{Resolver: z}), signed(t, s, message, keys[0]))
	made := whenSuites.Add(-time.Minute)
	want := Signature{
		Result: Pass, Domain: "example.org", Identity: "ann@sub.example.org", Selector: "s1", Algorithm: "rsa-sha256", KeyBits: 1024,
		Header: Relaxed, Body: Simple, Signed: []string{"From", "Subject", "To"}, Unsigned: []string{"Received", "Date", "Message-ID"},
		Time: made, Expires: made.Add(time.Hour), B: got.B,
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || len(got.B) != 8 {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestVerdicts changes what is signed, how it is signed, and what DNS says.
func TestVerdicts(t *testing.T) {
	keys, _ := pair(t)
	s := signer(t, SignConfig{Expire: time.Hour})
	good := signed(t, s, message, keys[0])
	record, _ := Record(keys[0].Private.Public())
	for _, tt := range []struct {
		name     string
		old, new string // in the message
		record   string // instead of the good one
		cfg      Config
		late     time.Duration
		result   Result
		reason   string
	}{
		{name: "nothing changed", result: Pass},
		{name: "white space in the header", old: "Subject:  The  minutes", new: "SUBJECT : The\t minutes ", result: Pass},
		{name: "refolded", old: "To: Bob <bob@example.com>,\r\n Cleo", new: "To: Bob\r\n <bob@example.com>, Cleo", result: Pass},
		{name: "white space in the body", old: "here  are the minutes. ", new: "here are the\t minutes.", result: Pass},
		{name: "a Received field more", old: "Received:", new: "Received: x\r\nReceived:", result: Pass},
		{name: "body", old: "Dear all", new: "Dear  ball", result: Fail, reason: "body hash did not verify"},
		{name: "subject", old: "The  minutes", new: "The hours", result: Fail, reason: "signature did not verify"},
		{name: "a second subject", old: "\nSubject:", new: "\nSubject: Win\r\nSubject:", result: Fail, reason: "signature did not verify"},
		{name: "a Cc field", old: "\nSubject:", new: "\nCc: x\r\nSubject:", result: Fail, reason: "signature did not verify"},
		{name: "a second From", old: "\nFrom:", new: "\nFrom: x@example.net\r\nFrom:", result: Fail, reason: "signature did not verify"},
		{name: "no From", old: "From: Ann", new: "X-From: Ann", result: PermError, reason: "no From field"},
		{name: "an unknown tag", old: "v=1;", new: "v=1; zz=top;", result: Fail, reason: "signature did not verify"},

		{name: "version", old: "v=1", new: "v=2", result: Neutral, reason: "signature: v= is not 1"},
		{name: "no version", old: "v=1; ", new: "", result: Neutral, reason: "signature: v= is not 1"},
		{name: "From not signed", old: "h=From:From", new: "h=X:X", result: PermError, reason: "From field not signed"},
		{name: "SHA-1", old: "rsa-sha256", new: "rsa-sha1", result: Policy, reason: "rsa-sha1 is no proof"},
		{name: "an algorithm to come", old: "rsa-sha256", new: "pqc-sha512", result: Neutral, reason: "signature: a=: not supported"},
		{name: "Ed25519 with an RSA key", old: "rsa-sha256", new: "ed25519-sha256", result: PermError, reason: "inappropriate key algorithm"},
		{name: "identity of another domain", old: "d=example.org", new: "d=example.org; i=ann@notexample.org", result: Neutral, reason: "signature: i= is not of d="},
		{name: "identity without @", old: "d=example.org", new: "d=example.org; i=example.org", result: Neutral, reason: "signature: i= is not of d="},
		{name: "not a domain", old: "d=example.org", new: "d=legit.example(.evil.example", result: Neutral, reason: "signature: d= is not a domain name"},
		{name: "l= over the body", old: "d=example.org", new: "d=example.org; l=1000000", result: Fail, reason: "the body is shorter than l="},
		{name: "expired", late: 2 * time.Hour, result: Policy, reason: "signature expired"},
		{name: "expired within the skew", late: time.Hour + 3*time.Minute, result: Pass},
		{name: "expired without skew", late: time.Hour + time.Minute, cfg: Config{Skew: -1}, result: Policy, reason: "signature expired"},
		{name: "from the future", late: -time.Hour, result: Policy, reason: "signature from the future"},
		{name: "too long", old: "d=example.org", new: "d=example.org; n=" + strings.Repeat("x", 1000), cfg: Config{Limits: Limits{FieldBytes: 1000}},
			result: Neutral, reason: "signature: over 1000 octets"},
		{name: "too many fields", old: "h=From", new: "h=From" + strings.Repeat(":x", 256), result: Neutral, reason: "signature: over 256 fields in h="},

		{name: "no key", record: "-", result: PermError, reason: "no key for signature"},
		{name: "revoked", record: "v=DKIM1; p=", result: PermError, reason: "key revoked"},
		{name: "no record of a key", record: "v=spf1 -all", result: PermError, reason: "key syntax error: v= is not DKIM1, or not the first tag"},
		{name: "another key type", record: "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", result: PermError, reason: "inappropriate key algorithm"},
		{name: "a key type to come", record: "v=DKIM1; k=pqc; p=YQ==", result: PermError, reason: "inappropriate key algorithm"},
		{name: "not for mail", record: record + "; s=tlsrpt", result: PermError, reason: "the key is not for mail"},
		{name: "for mail too", record: record + "; s=tlsrpt:email", result: Pass},
		{name: "for SHA-1", record: record + "; h=sha1", result: PermError, reason: "inappropriate hash algorithm"},
		{name: "for SHA-256", record: record + "; h=sha1:sha256", result: Pass},
		{name: "a granularity", record: record + "; g=nobody", result: Pass},
		{name: "no subdomains", record: record + "; t=s", result: Pass},
		{name: "too short a key", cfg: Config{KeyBits: 2048}, result: Policy, reason: "an RSA key of 1024 bits is no proof"},
		{name: "too long a key", record: longRecord(t), result: Policy, reason: "an RSA key of 8192 bits is too much work"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := record2(keys[0].Name(), record, tt.record)
			text := strings.Replace(good, tt.old, tt.new, 1)
			if tt.old != "" && text == good {
				t.Fatalf("no %q in it", tt.old)
			}
			tt.cfg.Resolver = z
			report, err := verifier(t, tt.cfg).VerifyReceived(context.Background(), strings.NewReader(text), whenSuites.Add(tt.late))
			if err != nil {
				t.Fatal(err)
			}
			if got := report.Signatures[0]; got.Result != tt.result || got.Reason != tt.reason {
				t.Errorf("%s %q, want %s %q", got.Result, got.Reason, tt.result, tt.reason)
			}
		})
	}
}

// record2 is a zone with other in place of good; without either for "-".
func record2(name, good, other string) zone {
	z := zone{}
	switch other {
	case "":
		z.set(name, good)
	case "-":
	default:
		z.set(name, other)
	}
	return z
}

// TestStrict holds i= to t=s.
func TestStrict(t *testing.T) {
	keys, z := pair(t)
	record, _ := Record(keys[0].Private.Public())
	for identity, want := range map[string]Result{"a@example.org": Pass, "a@sub.example.org": PermError, "": Pass} {
		keys[0].Identity = identity
		z.set(keys[0].Name(), record+"; t=y:s")
		got := judged(t, verifier(t, Config{Resolver: z}), signed(t, signer(t, SignConfig{}), message, keys[0]))
		if got.Result != want || !got.Testing {
			t.Errorf("i=%s: %s %q, testing %v; want %s", identity, got.Result, got.Reason, got.Testing, want)
		}
	}
}

// TestRecords takes the first record that will do (RFC 6376, section 6.1.2).
func TestRecords(t *testing.T) {
	keys, z := pair(t)
	text := signed(t, signer(t, SignConfig{}), message, keys[0])
	record, _ := Record(keys[0].Private.Public())
	z.set(keys[0].Name(), "v=spf1 -all", "v=DKIM1; p=", record)
	if got := judged(t, verifier(t, Config{Resolver: z}), text); got.Result != Pass {
		t.Errorf("%s %s", got.Result, got.Reason)
	}
	many := append(slices.Repeat([]string{"v=DKIM1; p="}, 8), record)
	z.set(keys[0].Name(), many...)
	if got := judged(t, verifier(t, Config{Resolver: z}), text); got.Result != PermError || got.Reason != "key revoked" {
		t.Errorf("%s %s", got.Result, got.Reason)
	}
}

// TestPartial judges what lies behind l=.
func TestPartial(t *testing.T) {
	keys, z := pair(t)
	text := partial(t, keys[0], "Dear all\r\n", 10)
	for _, tt := range []struct {
		tail    string
		partial bool
		result  Result
		beyond  int64
	}{
		{"", false, Pass, 0},
		{"\r\n\r\n", false, Pass, 0},
		{"Buy now!\r\n", false, Policy, 10},
		{"Buy now!\r\n", true, Pass, 10},
	} {
		got := judged(t, verifier(t, Config{Resolver: z, Partial: tt.partial}), text+tt.tail)
		if got.Result != tt.result || got.Beyond != tt.beyond || !got.Partial || got.Length != 10 {
			t.Errorf("%q: %+v", tt.tail, got)
		}
	}
}

// longRecord publishes a key of 8192 bits that nobody has.
func longRecord(t *testing.T) string {
	n := new(big.Int).SetBit(big.NewInt(1), 8191, 1)
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	return "v=DKIM1; p=" + base64.StdEncoding.EncodeToString(der)
}

// partial returns a message of which the first octets of the body are signed.
func partial(t *testing.T, k Key, body string, length int) string {
	hash := sha256.Sum256([]byte(body[:length]))
	field := fmt.Sprintf("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=%s; s=%s; l=%d; h=from; bh=%s; b=",
		k.Domain, k.Selector, length, base64.StdEncoding.EncodeToString(hash[:]))
	digest := sha256.Sum256([]byte("from:a@example.org\r\n" + strings.Replace(field, "DKIM-Signature: ", "dkim-signature:", 1)))
	b, err := k.Private.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return field + base64.StdEncoding.EncodeToString(b) + "\r\nFrom: a@example.org\r\n\r\n" + body
}

// TestUnsignedFrom does not let a From field pass that nobody signed.
func TestUnsignedFrom(t *testing.T) {
	keys, z := pair(t)
	text := "From: boss@example.org\r\n" + signed(t, signer(t, SignConfig{Oversign: OversignNone}), message, keys[0])
	report := verify(t, verifier(t, Config{Resolver: z}), []byte(text))
	if s := report.Signatures[0]; s.Result != Policy || s.Reason != "there is a From field that is not signed" {
		t.Errorf("%s %s", s.Result, s.Reason)
	}
	if !slices.Equal(report.Repeated, []string{"From"}) {
		t.Errorf("repeated: %v", report.Repeated)
	}
}

// TestSeveral verifies signatures of several keys, with one lookup for each key.
func TestSeveral(t *testing.T) {
	keys, z := pair(t)
	s := signer(t, SignConfig{})
	text := signed(t, s, message, keys[0], keys[1], keys[0], Key{Domain: "example.net", Selector: "x", Private: keys[1].Private})
	text = strings.Replace(text, "b=", "b=AAAA", 1) // breaks the first
	dns := &counting{Resolver: z}
	report := verify(t, verifier(t, Config{Resolver: dns}), []byte(text))
	var got []Result
	prefixes := map[string]bool{}
	for _, s := range report.Signatures {
		got = append(got, s.Result)
		prefixes[s.B] = true
	}
	if !slices.Equal(got, []Result{Fail, Pass, Pass, PermError}) || report.Result() != Pass || len(prefixes) != 4 {
		t.Errorf("%v, %v: %+v", got, report.Result(), report.Signatures)
	}
	if len(dns.names) != 3 {
		t.Errorf("lookups: %v", dns.names)
	}
}

func TestBounds(t *testing.T) {
	keys, z := pair(t)
	text := signed(t, signer(t, SignConfig{}), message, keys[0])
	field := text[:len(text)-len(message)]
	dns := &counting{Resolver: z, wait: func() { time.Sleep(time.Second) }}
	var many strings.Builder
	for i := range 30 {
		many.WriteString(strings.Replace(field, "s=s1", fmt.Sprintf("s=s1%d", i), 1))
	}
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t, Config{Resolver: dns, Limits: Limits{Signatures: 7, Lookups: 3}})
		report := verify(t, v, []byte(many.String()+message))
		if len(report.Signatures) != 7 || report.Skipped != 23 || len(dns.names) != 7 || dns.top != 3 {
			t.Errorf("%d signatures, %d skipped, %d lookups, %d at once", len(report.Signatures), report.Skipped, len(dns.names), dns.top)
		}
	})
	_, err := verifier(t, Config{Limits: Limits{HeaderBytes: 100}}).Verify(context.Background(), strings.NewReader(text))
	if !errors.Is(err, ErrHeader) {
		t.Errorf("a large header: %v", err)
	}
}

// TestAllocations: what is allocated for a message does not grow with it.
func TestAllocations(t *testing.T) {
	keys, z := pair(t)
	v := verifier(t, Config{Resolver: z})
	allocated := func(body string) float64 {
		text := signed(t, signer(t, SignConfig{}), message+body, keys[0])
		return testing.AllocsPerRun(5, func() {
			if got := judged(t, v, text); got.Result != Pass {
				t.Fatal(got.Reason)
			}
		})
	}
	small, large := allocated("x\r\n"), allocated(strings.Repeat("a  b \t c \r\n\r\n  d\r\n\r\n\r\n", 100000))
	if large > small+100 { // a pool may have to begin anew
		t.Errorf("%v allocations for 10 octets, %v for two million", small, large)
	}
}

// TestResolver has a resolver that fails, hangs, panics.
func TestResolver(t *testing.T) {
	keys, _ := pair(t)
	text := signed(t, signer(t, SignConfig{}), message, keys[0])
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		resolver func(context.Context, string) ([]string, error)
		result   Result
		err      error
	}{
		"fails":           {func(context.Context, string) ([]string, error) { return nil, broken }, TempError, broken},
		"times out":       {func(context.Context, string) ([]string, error) { return nil, &net.DNSError{IsTimeout: true} }, TempError, nil},
		"has nothing":     {func(context.Context, string) ([]string, error) { return nil, nil }, PermError, nil},
		"panics":          {func(context.Context, string) ([]string, error) { panic("oops") }, TempError, nil},
		"hangs":           {func(ctx context.Context, _ string) ([]string, error) { <-ctx.Done(); return nil, ctx.Err() }, TempError, context.DeadlineExceeded},
		"ignores its ctx": {func(context.Context, string) ([]string, error) { time.Sleep(time.Hour); return nil, nil }, TempError, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := judged(t, verifier(t, Config{Resolver: resolverFunc(tt.resolver)}), text)
				if got.Result != tt.result || tt.err != nil && !errors.Is(got.Err, tt.err) {
					t.Errorf("%s %q: %v", got.Result, got.Reason, got.Err)
				}
				time.Sleep(2 * time.Hour) // until all have come back
			})
		})
	}
}

type resolverFunc func(context.Context, string) ([]string, error)

func (f resolverFunc) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return f(ctx, name)
}

// TestReader has messages that end in an error, and no goroutine that stays.
func TestReader(t *testing.T) {
	keys, z := pair(t)
	text := signed(t, signer(t, SignConfig{}), message, keys...)
	v := verifier(t, Config{Resolver: z})
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) { // waits for every goroutine
		for _, at := range []int{0, 100, len(text) - 10, len(text)} {
			r := io.MultiReader(strings.NewReader(text[:at]), iotest.ErrReader(broken))
			if report, err := v.VerifyReceived(context.Background(), r, whenSuites); !errors.Is(err, broken) || report != nil {
				t.Errorf("an error at %d: %v, %v", at, report, err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := v.VerifyReceived(ctx, strings.NewReader(text+strings.Repeat("x", 1<<20)), whenSuites); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that has ended: %v", err)
		}
	})
	// Without signatures there is nothing to read the body for.
	r := strings.NewReader(message + strings.Repeat("x", 1<<20))
	if report, err := v.Verify(context.Background(), r); err != nil || report.Result() != None || r.Len() < 1<<19 {
		t.Errorf("%v, %v, %d octets left", report, err, r.Len())
	}
}

// TestParallel runs one Verifier in many goroutines.
func TestParallel(t *testing.T) {
	keys, z := pair(t)
	v := verifier(t, Config{Resolver: z, Limits: Limits{Keys: 1}})
	s := signer(t, SignConfig{})
	texts := []string{signed(t, s, message, keys[0]), signed(t, s, message, keys[1]), signed(t, s, message+strings.Repeat("x y \r\n", 50000), keys...)}
	done := make(chan error)
	for i := range 12 {
		go func() {
			var err error
			for range 20 {
				report, bad := v.VerifyReceived(context.Background(), bytes.NewReader([]byte(texts[i%3])), whenSuites)
				if bad != nil || report.Result() != Pass {
					err = fmt.Errorf("%+v, %w", report, bad)
				}
			}
			done <- err
		}()
	}
	for range 12 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
