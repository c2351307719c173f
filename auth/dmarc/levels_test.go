package dmarc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// policyByTheBook is where the record is that applies to name, "" for nowhere, as
// section 4.10.1 has it written.
func policyByTheBook(z *zone, name string) string {
	has := func(at string) bool { return len(z.txt["_dmarc."+at]) == 1 }
	if has(name) {
		return name
	}
	org := byTheBook(z, name)
	if has(org) && slices.Contains(targets(name), org) {
		return org
	}
	if _, above, _ := strings.Cut(org, "."); slices.Contains(targets(name), above) && has(above) && strings.HasSuffix(z.txt["_dmarc."+above][0], "psd=y") {
		return above // the public suffix
	}
	return ""
}

// TestLevels puts one record and two at each level of a name of ten labels, with every
// psd= there is, and none or two for one; what is the organizational domain, whose
// policy applies and what is aligned has to be as the RFC has it written. Then every
// answer is withheld.
func TestLevels(t *testing.T) {
	const author = "a.b.c.d.e.f.g.h.i.j"
	levels := labels(author)
	kinds := []string{"psd=u", "psd=y", "psd=n", "twice"}
	put := func(z *zone, level int, kind string) {
		record := fmt.Sprintf("v=DMARC1; p=reject; %s", kind)
		list := []string{record}
		if kind == "twice" {
			list = []string{"v=DMARC1; p=none; psd=n", "v=DMARC1; p=none; psd=y"}
		}
		z.txt["_dmarc."+suffix(author, level)] = list
	}
	var zones []*zone
	for i := 1; i <= levels; i++ {
		for _, a := range kinds {
			z := &zone{txt: make(map[string][]string)}
			put(z, i, a)
			zones = append(zones, z)
			for j := 1; j < i; j++ {
				for _, b := range kinds {
					z := &zone{txt: make(map[string][]string)}
					put(z, i, a)
					put(z, j, b)
					zones = append(zones, z)
				}
			}
		}
	}
	others := []string{author, "b.c.d.e.f.g.h.i.j", "x.d.e.f.g.h.i.j", "h.i.j", "x.i.j", "i.j", "j", "x.a.b.c.d.e.f.g.h.i.j", "j.i"}
	for n, z := range zones {
		org, policy := byTheBook(z, author), policyByTheBook(z, author)
		for k, other := range others {
			m := message(author, "", other)
			z := z.fresh()
			got := checker(t, z, Config{}).Check(t.Context(), m)
			want := None
			switch {
			case policy == "":
			case other == author || org == byTheBook(z, other):
				want = Pass
			default:
				want = Fail
			}
			if got.Result != want || got.PolicyDomain != policy || got.OrganizationalDomain != "" && got.OrganizationalDomain != org || got.Lookups > 2*maxWalk {
				t.Fatalf("%v, %s: %s by %q of %q, want %s by %q of %q", z.txt, other, got.Result, got.PolicyDomain, got.OrganizationalDomain, want, policy, org)
			}
			if (n+k)%5 > 0 { // one of five, which has all kinds at all levels
				continue
			}
			for _, name := range z.queries() {
				out := checker(t, z.without(name), Config{}).Check(t.Context(), m)
				if out.Result != got.Result && out.Result != TempError {
					t.Fatalf("%v, %s without %s: %s, %s with it", z.txt, other, name, out.Result, got.Result)
				}
			}
		}
	}
	if len(zones) != 10*4+45*16 {
		t.Errorf("%d zones", len(zones))
	}
}

// failing is a zone that fails to answer for one name, each time in its own way.
type failing struct {
	*zone
	name string
	err  error // nil: it waits for the end of the context
}

func (f failing) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if strings.TrimSuffix(name, ".") != f.name {
		return f.zone.LookupTXT(ctx, name)
	}
	if f.err == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []string{"v=DMARC1; p=none"}, f.err // what comes with an error does not count
}

// TestWithheld fails in every way that a resolver may. None is taken for an answer, and
// none makes a message pass.
func TestWithheld(t *testing.T) {
	z := published(map[string]string{"example.com": "v=DMARC1; p=reject; psd=n", "bank.example": "v=DMARC1; p=reject; psd=y"})
	ended, end := context.WithCancel(t.Context())
	end()
	for _, err := range []error{
		&net.DNSError{Err: "server misbehaving", IsTemporary: true},                // SERVFAIL
		&net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true},      // nobody answers
		&net.DNSError{Err: "refused"},                                              // REFUSED
		fmt.Errorf("resolver: %w", &net.DNSError{Err: "bogus", IsTemporary: true}), // DNSSEC
		&net.OpError{Op: "dial", Err: errors.New("network is unreachable")},
		context.DeadlineExceeded, io.ErrUnexpectedEOF, errors.New("no such host"), nil,
	} {
		for _, tt := range []struct {
			message Message
			name    string
		}{
			{message("example.com", "example.com"), "example.com"},     // the author's record
			{message("example.com", ""), "example.com"},                // the same, and nothing passes
			{message("a.example.com", "example.com"), "a.example.com"}, // where there is none
			{message("a.example.com", "example.com"), "example.com"},   // the organization's
			{message("a.bank.example", ""), "bank.example"},            // the public suffix's
			{message("a.bank.example", "x.a.bank.example"), "bank.example"},
			{message("example.com", "b.example.com"), "b.example.com"}, // an identifier's
			{message("example.com", "", "x.b.example.com"), "b.example.com"},
		} {
			ctx := t.Context()
			if err == nil {
				ctx = ended
			}
			c, bad := New(Config{Resolver: failing{z.fresh(), "_dmarc." + tt.name, err}, Exists: func(context.Context, string) (bool, error) { return true, nil }})
			if bad != nil {
				t.Fatal(bad)
			}
			if got := c.Check(ctx, tt.message); got.Result != TempError || got.Disposition != NoPolicy || got.Reason == "" || got.Defect != "" {
				t.Errorf("%v at %s: %s, %s (%s)", err, tt.name, got.Result, got.Disposition, got.Reason)
			}
		}
	}
	// That there is none is an answer, wrapped or not.
	for _, err := range []error{&net.DNSError{IsNotFound: true}, fmt.Errorf("resolver: %w", &net.DNSError{IsNotFound: true})} {
		c, bad := New(Config{Resolver: failing{z, "_dmarc.example.com", err}})
		if bad != nil {
			t.Fatal(bad)
		}
		if got := c.Check(t.Context(), message("example.com", "example.com")); got.Result != None {
			t.Errorf("%v: %s (%s)", err, got.Result, got.Reason)
		}
	}
}

// TestExistenceWithheld asks whether a name exists, for np=, and gets no answer.
func TestExistenceWithheld(t *testing.T) {
	for _, tt := range []struct {
		record string
		want   Result
	}{
		{"v=DMARC1; p=none; np=reject", TempError},
		{"v=DMARC1; p=reject; np=none", TempError},
		{"v=DMARC1; p=reject; sp=none; np=quarantine; t=y", TempError},
		{"v=DMARC1; p=reject", Fail}, // nothing hangs on it
		{"v=DMARC1; p=reject; sp=none; np=none", Fail},
		{"v=DMARC1; p=none; np=none", Fail},
	} {
		c, err := New(Config{
			Resolver: published(map[string]string{"example.com": tt.record}),
			Exists:   func(context.Context, string) (bool, error) { return false, errors.New("server misbehaving") },
		})
		if err != nil {
			t.Fatal(err)
		}
		got := c.Check(t.Context(), message("no.example.com", ""))
		if got.Result != tt.want || got.Result == TempError && got.Disposition != NoPolicy {
			t.Errorf("%s: %s, %s (%s)", tt.record, got.Result, got.Disposition, got.Reason)
		}
		if got := c.Check(t.Context(), message("no.example.com", "example.com")); got.Result != Pass {
			t.Errorf("%s, authenticated: %s (%s)", tt.record, got.Result, got.Reason)
		}
	}
}
