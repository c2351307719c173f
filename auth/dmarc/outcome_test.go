package dmarc

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestInputs says what results of SPF and DKIM other than pass mean.
func TestInputs(t *testing.T) {
	for _, tt := range []struct {
		name string
		spf  SPF
		dkim []DKIM
		want Result
	}{
		{"nothing", SPF{}, nil, Fail},
		{"failed", SPF{"example.com", "fail"}, []DKIM{{"example.com", "s", "fail"}}, Fail},
		{"softfail", SPF{"example.com", "softfail"}, nil, Fail},
		{"neutral and policy", SPF{"example.com", "neutral"}, []DKIM{{"example.com", "s", "policy"}}, Fail},
		{"not lower case", SPF{"example.com", "PASS"}, nil, Fail},
		{"permerror", SPF{"example.com", "permerror"}, []DKIM{{"example.com", "s", "permerror"}}, Fail},
		{"temperror of SPF", SPF{"example.com", "temperror"}, nil, TempError}, // RFC 9989, section 5.3.6
		{"temperror of a key", SPF{}, []DKIM{{"a.example.com", "s", "temperror"}}, TempError},
		{"temperror of somebody else", SPF{"example.net", "temperror"}, []DKIM{{"example.net", "s", "temperror"}}, Fail},
		{"temperror beside a pass", SPF{"example.com", "temperror"}, []DKIM{{"example.com", "s", "pass"}}, Pass},
		{"fail beside a pass", SPF{"example.com", "fail"}, []DKIM{{"example.com", "s", "fail"}, {"a.example.com", "s", "pass"}}, Pass},
	} {
		m := message("example.com", "")
		m.SPF, m.DKIM = tt.spf, tt.dkim
		if got := checker(t, exampleCom.fresh(), Config{}).Check(t.Context(), m); got.Result != tt.want {
			t.Errorf("%s: %s (%s), want %s", tt.name, got.Result, got.Reason, tt.want)
		}
	}
}

func TestOverrides(t *testing.T) {
	believed := ARC{Result: "pass", Instance: 2, Domain: "lists.example.net", Selector: "s\r\nX: y", Trusted: true, Passed: true}
	for _, tt := range []struct {
		name      string
		record    string
		arc       ARC
		overrides []Override
		want      Policy
		reasons   []OverrideType
	}{
		{"none", "v=DMARC1; p=reject", ARC{}, nil, Reject, nil},
		{"forwarder", "v=DMARC1; p=reject", ARC{}, []Override{{Type: TrustedForwarder}}, NoPolicy, []OverrideType{TrustedForwarder}},
		{"weaker", "v=DMARC1; p=reject", ARC{}, []Override{{Type: LocalPolicy, Disposition: Quarantine}}, Quarantine, []OverrideType{LocalPolicy}},
		{"never stronger", "v=DMARC1; p=quarantine", ARC{}, []Override{{Type: LocalPolicy, Disposition: Reject}}, Quarantine, nil},
		{"nothing to override", "v=DMARC1; p=none", ARC{}, []Override{{Type: MailingList}}, NoPolicy, nil},
		{"test mode", "v=DMARC1; p=reject; t=y", ARC{}, nil, Quarantine, []OverrideType{PolicyTestMode}},
		{"test mode and list", "v=DMARC1; p=reject; t=y", ARC{}, []Override{{Type: MailingList}}, NoPolicy, []OverrideType{PolicyTestMode, MailingList}},
		{"ARC", "v=DMARC1; p=reject", believed, nil, NoPolicy, []OverrideType{LocalPolicy}},
		{"ARC not trusted", "v=DMARC1; p=reject", ARC{Result: "pass", Passed: true}, nil, Reject, nil},
		{"ARC of a message that failed there", "v=DMARC1; p=reject", ARC{Result: "pass", Trusted: true}, nil, Reject, nil},
		{"ARC broken", "v=DMARC1; p=reject", ARC{Result: "fail", Trusted: true, Passed: true}, nil, Reject, nil},
	} {
		m := message("example.com", "example.net")
		m.ARC, m.Overrides = tt.arc, tt.overrides
		got := checker(t, published(map[string]string{"example.com": tt.record}), Config{}).Check(t.Context(), m)
		var reasons []OverrideType
		for _, o := range got.Overrides {
			reasons = append(reasons, o.Type)
			if strings.ContainsAny(o.Comment, "\r\n") {
				t.Errorf("%s: comment %q", tt.name, o.Comment)
			}
		}
		if got.Result != Fail || got.Disposition != tt.want || !slices.Equal(reasons, tt.reasons) {
			t.Errorf("%s: %s, %s for %q; want %s for %q", tt.name, got.Result, got.Disposition, reasons, tt.want, tt.reasons)
		}
	}
	// A message that passes, or of which that is not known, has none.
	m := message("example.com", "example.com")
	m.Overrides = []Override{{Type: TrustedForwarder}}
	if got := checker(t, exampleCom.fresh(), Config{}).Check(t.Context(), m); got.Result != Pass || got.Overrides != nil {
		t.Errorf("%s with %+v", got.Result, got.Overrides)
	}
}

func TestPublicSuffixMode(t *testing.T) {
	z := published(map[string]string{
		"example.com":    "v=DMARC1; p=reject; sp=quarantine; np=reject; pct=40",
		"a.example.com":  "v=DMARC1; p=quarantine; t=y; psd=n",
		"co.uk":          "v=DMARC1; p=reject; psd=y",
		"x.y.example.nl": "v=DMARC1; p=reject",
	})
	for _, tt := range []struct {
		message     Message
		draw        int
		result      Result
		policy      string
		org         string
		disposition Policy
	}{
		{message("example.com", ""), 39, Fail, "example.com p reject", "", Reject},
		{message("example.com", ""), 40, Fail, "example.com p reject", "", Quarantine},
		{message("no.example.com", ""), 0, Fail, "example.com sp quarantine", "example.com", Quarantine}, // np is of RFC 9989
		{message("no.example.com", ""), 99, Fail, "example.com sp quarantine", "example.com", NoPolicy},
		{message("a.example.com", ""), 0, Fail, "a.example.com p quarantine", "", Quarantine}, // so are t and psd
		{message("a.example.com", "b.example.com"), 0, Pass, "a.example.com p quarantine", "example.com", NoPolicy},
		{message("a.example.co.uk", ""), 0, None, "", "example.co.uk", NoPolicy}, // never above the organizational domain
		{message("z.x.y.example.nl", ""), 0, None, "", "example.nl", NoPolicy},   // only there and here
		{message("co.uk", "example.co.uk"), 0, Fail, "co.uk p reject", "co.uk", Reject},
	} {
		z := z.fresh()
		got := checker(t, z, Config{Discovery: PublicSuffix}).check(t.Context(), &tt.message, tt.draw)
		if got.Result != tt.result || got.policy() != tt.policy || got.Disposition != tt.disposition || got.OrganizationalDomain != tt.org {
			t.Errorf("%s, draw %d: %s by %q of %q: %s; want %s by %q of %q: %s", got.AuthorDomain, tt.draw,
				got.Result, got.policy(), got.OrganizationalDomain, got.Disposition, tt.result, tt.policy, tt.org, tt.disposition)
		}
		if sampled := got.Policy != got.Disposition && got.Result == Fail; sampled != (len(got.Overrides) == 1 && got.Overrides[0].Type == SampledOut) {
			t.Errorf("%s, draw %d: overrides %+v", got.AuthorDomain, tt.draw, got.Overrides)
		}
		if len(z.queries()) > 2 {
			t.Errorf("%s: asked for %q", got.AuthorDomain, z.queries())
		}
		for _, name := range z.queries() {
			if out := checker(t, z.without(name), Config{Discovery: PublicSuffix}).check(t.Context(), &tt.message, tt.draw); out.Result != TempError && out.Result != got.Result {
				t.Errorf("%s without %s: %s", got.AuthorDomain, name, out.Result)
			}
		}
	}
}

func TestCompare(t *testing.T) {
	z := published(map[string]string{
		"dept.example.com": "v=DMARC1; p=reject; psd=n",
		"example.net":      "v=DMARC1; p=reject",
		"a.example.org":    "v=DMARC1; p=quarantine; pct=0",
	})
	for _, tt := range []struct {
		message Message
		result  [2]Result // by the walk, by the list
		differs []string
	}{
		{message("example.net", "a.example.net"), [2]Result{Pass, Pass}, nil},
		{message("x.dept.example.com", "example.com"), [2]Result{Fail, None}, []string{"result", "disposition", "organizational_domain", "policy_domain", "policy"}},
		{message("dept.example.com", "example.com"), [2]Result{Fail, Pass}, []string{"result", "disposition", "organizational_domain"}},
		{message("a.example.org", "example.org"), [2]Result{Fail, Pass}, []string{"result", "disposition", "organizational_domain"}},
		{message("a.example.org", "example.net"), [2]Result{Fail, Fail}, []string{"disposition", "organizational_domain", "overrides"}},
	} {
		for i, by := range []Discovery{TreeWalk, PublicSuffix} {
			z := z.fresh()
			got := checker(t, z, Config{Discovery: by, Compare: true}).Check(t.Context(), tt.message)
			if got.Other == nil || got.Result != tt.result[i] || got.Other.Result != tt.result[1-i] || got.Discovery != by || got.Other.Discovery == by {
				t.Errorf("%s by %s: %+v beside %+v", got.AuthorDomain, by, got, got.Other)
			}
			if !slices.Equal(got.Differs, tt.differs) {
				t.Errorf("%s by %s differs in %q, want %q", got.AuthorDomain, by, got.Differs, tt.differs)
			}
			if asked := z.queries(); len(slices.Compact(slices.Clone(asked))) != len(asked) {
				t.Errorf("%s by %s: asked for %q", got.AuthorDomain, by, asked)
			}
		}
	}
}

func TestBudget(t *testing.T) {
	zone := published(map[string]string{"example.com": "v=DMARC1; p=reject", "other.example.com": "v=DMARC1; psd=n"})
	m := message("example.com", "")
	for _, label := range "abcdefghijklmnopqrstuvwxyz" {
		m.DKIM = append(m.DKIM, DKIM{Domain: string(label) + ".1.2.3.other.example.com", Selector: "s", Result: "pass"})
	}
	m.DKIM = append(m.DKIM, DKIM{Domain: "late.example.com", Selector: "s", Result: "pass"})
	for _, tt := range []struct {
		budget int
		want   Result
	}{{8, Fail}, {20, Fail}, {0, Fail}, {100, Pass}} { // never a pass for want of queries
		z := zone.fresh()
		got := checker(t, z, Config{Lookups: tt.budget}).Check(t.Context(), m)
		most := tt.budget
		if most == 0 {
			most = 32
		}
		if got.Lookups > most || got.Lookups != len(z.queries()) || got.Result != tt.want {
			t.Errorf("budget %d: %d lookups, %s (%s), want %s", tt.budget, len(z.queries()), got.Result, got.Reason, tt.want)
		}
	}
	// Who shares nothing with the author costs nothing.
	m = message("example.com", "example.com")
	for _, label := range "abcdefghijklmnopqrstuvwxyz" {
		m.DKIM = append(m.DKIM, DKIM{Domain: string(label) + ".attack.com", Selector: "s", Result: "pass"})
	}
	if got := checker(t, exampleCom.fresh(), Config{}).Check(t.Context(), m); got.Lookups != 2 || got.Result != Pass {
		t.Errorf("%d lookups, %s", got.Lookups, got.Result)
	}
}

// silent is a resolver that does not answer, and does not mind its context.
type silent struct{}

func (silent) LookupTXT(context.Context, string) ([]string, error) {
	time.Sleep(time.Hour)
	return nil, errors.New("late")
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Resolver: silent{}, Timeout: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		got := c.Check(t.Context(), message("a.example.com", "a.example.com", "example.com"))
		if took := time.Since(start); got.Result != TempError || took != 3*time.Second {
			t.Errorf("%s (%s) after %v", got.Result, got.Reason, took)
		}
		time.Sleep(2 * time.Hour) // for the goroutines that the resolver holds
	})
}

// plain has no more than a Resolver needs; full what *net.Resolver has.
type plain struct{ *zone }

type full struct {
	*zone
	mx map[string]bool
}

func (f full) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	name, err := f.note("mx " + name)
	if err != nil {
		return nil, err
	}
	if f.mx[strings.TrimPrefix(name, "mx ")] {
		return []*net.MX{{Host: "mx.example.com.", Pref: 10}}, nil
	}
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

func TestExistsByResolver(t *testing.T) {
	z := published(map[string]string{"example.com": "v=DMARC1; p=none; np=reject"})
	z.txt["text.example.com"] = []string{"hello"}
	for _, tt := range []struct {
		resolver Resolver
		name     string
		want     Policy
	}{
		{plain{z}, "no.example.com", Reject},
		{plain{z}, "text.example.com", NoPolicy},
		{full{z, map[string]bool{"mail.example.com": true}}, "mail.example.com", NoPolicy},
		{full{z, nil}, "mail.example.com", Reject},
	} {
		c, err := New(Config{Resolver: tt.resolver})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Check(t.Context(), message(tt.name, "")); got.Result != Fail || got.Disposition != tt.want {
			t.Errorf("%T, %s: %s, %s; want %s", tt.resolver, tt.name, got.Result, got.Disposition, tt.want)
		}
	}
	z.fail = map[string]bool{"mx no.example.com": true}
	c, err := New(Config{Resolver: full{z, nil}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Check(t.Context(), message("no.example.com", "")); got.Result != TempError {
		t.Errorf("%s where MX could not be asked for", got.Result)
	}
}

func TestNew(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Discovery: "tree"}, `dmarc: Discovery "tree"`},
		{Config{Malformed: "drop"}, `dmarc: Malformed "drop"`},
		{Config{Mailboxes: -1}, "dmarc: Mailboxes"},
		{Config{Lookups: 7}, "dmarc: Lookups 7"},
		{Config{Timeout: -1}, "dmarc: Timeout"},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("New(%+v): %v, want %s…", tt.cfg, err, tt.want)
		}
	}
	if _, err := New(Config{}); err != nil {
		t.Error(err)
	}
}

// TestJSON pins the form that others store and read.
func TestJSON(t *testing.T) {
	z := published(map[string]string{"example.com": "v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:d@example.com!1k; t=y"})
	m := message("a.example.com", "bounce.example.net", "example.com")
	m.ARC = ARC{Result: "pass", Instance: 1, Domain: "example.net", Selector: "s1", Trusted: true}
	got, err := json.MarshalIndent(checker(t, z, Config{}).Check(t.Context(), m), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "result": "fail",
 "reason": "nothing that is authenticated is aligned",
 "disposition": "none",
 "overrides": [
  {
   "type": "policy_test_mode",
   "disposition": "none"
  }
 ],
 "author_domain": "a.example.com",
 "organizational_domain": "example.com",
 "policy_domain": "example.com",
 "record": {
  "text": "v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:d@example.com!1k; t=y",
  "p": "reject",
  "sp": "quarantine",
  "adkim": "s",
  "aspf": "r",
  "psd": "u",
  "t": true,
  "rua": [
   {
    "uri": "mailto:d@example.com",
    "address": "d@example.com",
    "domain": "example.com",
    "max_octets": 1024
   }
  ],
  "fo": "0",
  "pct": 100
 },
 "policy_tag": "sp",
 "policy": "quarantine",
 "discovery": "treewalk",
 "spf": {
  "domain": "bounce.example.net",
  "result": "pass",
  "mode": "r",
  "aligned": false,
  "reason": "not aligned"
 },
 "dkim": [
  {
   "domain": "example.com",
   "selector": "s1",
   "result": "pass",
   "mode": "s",
   "aligned": false,
   "reason": "not aligned"
  }
 ],
 "arc": {
  "result": "pass",
  "instance": 1,
  "domain": "example.net",
  "selector": "s1",
  "trusted": true
 },
 "lookups": 3
}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
	var back Outcome
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.MarshalIndent(back, "", " "); string(again) != want {
		t.Errorf("read back as %s", again)
	}
}
