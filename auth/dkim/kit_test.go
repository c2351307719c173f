package dkim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"sync"
	"testing"
	"time"
)

// pair returns a new RSA and a new Ed25519 key of example.org, and a zone that
// publishes both.
func pair(t testing.TB) ([]Key, zone) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, small, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := []Key{
		{Domain: "example.org", Selector: "s1", Private: private},
		{Domain: "example.org", Selector: "s2", Private: small},
	}
	return keys, publish(t, keys...)
}

// publish returns a zone that has keys.
func publish(t testing.TB, keys ...Key) zone {
	t.Helper()
	z := zone{}
	for _, k := range keys {
		text, err := Record(k.Private.Public())
		if err != nil {
			t.Fatal(err)
		}
		z.set(k.Name(), text)
	}
	return z
}

func (z zone) set(name string, texts ...string) {
	r := z[name]
	r.TXT = texts
	z[name] = r
}

func signer(t testing.TB, cfg SignConfig) *Signer {
	t.Helper()
	s, err := NewSigner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signed returns message with signatures on top, made a minute before the suites
// are verified.
func signed(t testing.TB, s *Signer, message string, keys ...Key) string {
	t.Helper()
	fields, err := s.sign(context.Background(), strings.NewReader(message), given(keys...), whenSuites.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(fields, "") + message
}

const message = "Received: from mx.example.net\r\n\tby mail.example.org; Fri, 24 Jul 2026 10:00:00 +0000\r\n" +
	"From: Ann <ann@example.org>\r\nTo: Bob <bob@example.com>,\r\n Cleo <cleo@example.com>\r\nSubject:  The  minutes\r\n" +
	"Date: Fri, 24 Jul 2026 09:59:58 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n" +
	"Dear all,\r\n\r\nhere  are the minutes. \r\n\r\n-- \r\nAnn\r\n\r\n"

// counting counts lookups, and how many run at once.
type counting struct {
	Resolver
	mu       sync.Mutex
	names    []string
	now, top int
	wait     func()
}

func (c *counting) LookupTXT(ctx context.Context, name string) ([]string, error) {
	c.mu.Lock()
	c.names = append(c.names, name)
	c.now++
	c.top = max(c.top, c.now)
	c.mu.Unlock()
	if c.wait != nil {
		c.wait()
	}
	defer func() {
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
	}()
	return c.Resolver.LookupTXT(ctx, name)
}

// judged returns what v says of the only signature of a message.
func judged(t testing.TB, v *Verifier, message string) Signature {
	t.Helper()
	report, err := v.VerifyReceived(context.Background(), bytes.NewReader([]byte(message)), whenSuites)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Signatures) != 1 {
		t.Fatalf("%d signatures", len(report.Signatures))
	}
	return report.Signatures[0]
}
