package dmarc

import (
	"slices"
	"testing"
)

// cases are messages and what DMARC says of them by the tree walk. Each is also
// checked with every answer withheld in turn.
var cases = []struct {
	name    string
	zone    *zone
	message Message

	result      Result
	policy      string // domain, tag and policy
	org         string
	disposition Policy
}{
	// RFC 9989, appendix B.1, with a record at example.com.
	{"B.1.1 example 1", exampleCom, message("example.com", "example.com"), Pass, "example.com p reject", "", NoPolicy},
	{"B.1.1 example 2", exampleCom, message("example.com", "child.example.com"), Pass, "example.com p reject", "example.com", NoPolicy},
	{"B.1.1 example 3", exampleCom, message("child.example.com", "example.net"), Fail, "example.com sp quarantine", "example.com", Quarantine},
	{"B.1.2 example 1", exampleCom, message("example.com", "", "example.com"), Pass, "example.com p reject", "", NoPolicy},
	{"B.1.2 example 2", exampleCom, message("child.example.com", "", "example.com"), Pass, "example.com sp quarantine", "example.com", NoPolicy},
	{"B.1.2 example 3", exampleCom, message("child.example.com", "", "example.net"), Fail, "example.com sp quarantine", "example.com", Quarantine},

	{"B.4.1", simple, message("example.com", "example.com", "signing.example.com"), Pass, "example.com p reject", "example.com", NoPolicy},
	{"B.4.1, DKIM only", simple, message("example.com", "", "signing.example.com"), Pass, "example.com p reject", "example.com", NoPolicy},
	{"B.4.2", simple, message("a.b.c.d.e.f.g.h.i.j.k.example.com", "example.com", "signing.example.com"), Pass, "example.com p reject", "example.com", NoPolicy},
	{"B.4.3", bank, message("giant.bank.example", "mail.giant.bank.example", "mail.mega.bank.example"), Pass, "giant.bank.example p reject", "giant.bank.example", NoPolicy},
	{"B.4.3, DKIM only", bank, message("giant.bank.example", "", "mail.mega.bank.example"), Fail, "giant.bank.example p reject", "giant.bank.example", Reject},

	// psd=n and psd=y at each level.
	{"psd=n here", published(map[string]string{"a.b.example.com": "v=DMARC1; p=reject; psd=n", "example.com": "v=DMARC1; p=none"}),
		message("a.b.example.com", "b.example.com"), Fail, "a.b.example.com p reject", "a.b.example.com", Reject},
	{"psd=n above", published(map[string]string{"b.example.com": "v=DMARC1; p=reject; psd=n", "example.com": "v=DMARC1; p=none"}),
		message("a.b.example.com", "c.b.example.com"), Pass, "b.example.com p reject", "b.example.com", NoPolicy},
	{"psd=n above, other side", published(map[string]string{"b.example.com": "v=DMARC1; p=reject; psd=n", "example.com": "v=DMARC1; p=none"}),
		message("a.b.example.com", "example.com"), Fail, "b.example.com p reject", "b.example.com", Reject},
	{"psd=n at the top", published(map[string]string{"com": "v=DMARC1; p=reject; psd=n"}),
		message("a.example.com", "example.com"), Pass, "com p reject", "com", NoPolicy},
	{"psd=y here", published(map[string]string{"bank.example": "v=DMARC1; p=reject; psd=y"}),
		message("bank.example", "a.bank.example"), Fail, "bank.example p reject", "bank.example", Reject},
	{"psd=y right above", published(map[string]string{"bank.example": "v=DMARC1; p=reject; sp=quarantine; psd=y"}),
		message("a.bank.example", "b.bank.example"), Fail, "bank.example sp quarantine", "a.bank.example", Quarantine},
	{"psd=y far above", published(map[string]string{"bank.example": "v=DMARC1; p=reject; psd=y"}),
		message("x.y.a.bank.example", "z.a.bank.example"), Pass, "bank.example p reject", "a.bank.example", NoPolicy},
	{"psd=y below psd=y", published(map[string]string{"example": "v=DMARC1; p=none; psd=y", "bank.example": "v=DMARC1; p=reject; psd=y"}),
		message("a.bank.example", "bank.example"), Fail, "bank.example p reject", "a.bank.example", Reject},
	{"psd=y above a record", published(map[string]string{"a.bank.example": "v=DMARC1; p=quarantine", "bank.example": "v=DMARC1; p=reject; psd=y"}),
		message("x.a.bank.example", "bank.example"), Fail, "a.bank.example p quarantine", "a.bank.example", Quarantine},
	{"psd=u says nothing", published(map[string]string{"a.example.com": "v=DMARC1; p=reject; psd=u", "example.com": "v=DMARC1; p=none; psd=u"}),
		message("a.example.com", "b.example.com"), Pass, "a.example.com p reject", "example.com", NoPolicy},
	{"record only at the public suffix", published(map[string]string{"com": "v=DMARC1; p=reject; psd=y"}),
		message("a.example.com", "attack.com"), Fail, "com p reject", "example.com", Reject},
	{"record only at a public suffix that does not say so", published(map[string]string{"com": "v=DMARC1; p=reject"}),
		message("a.example.com", "attack.com"), Pass, "com p reject", "com", NoPolicy}, // RFC 9989, section 4.10.2, item 3

	// np= is for names that do not exist.
	{"np, name missing", published(map[string]string{"example.com": "v=DMARC1; p=none; sp=quarantine; np=reject"}),
		message("no.example.com", ""), Fail, "example.com np reject", "example.com", Reject},
	{"np, name there", &zone{txt: map[string][]string{"_dmarc.example.com": {"v=DMARC1; p=none; sp=quarantine; np=reject"}}, also: []string{"a.example.com"}},
		message("a.example.com", ""), Fail, "example.com sp quarantine", "example.com", Quarantine},
	{"np, name above one that is there", &zone{txt: map[string][]string{"_dmarc.example.com": {"v=DMARC1; p=none; np=reject"}}, also: []string{"www.a.example.com"}},
		message("a.example.com", ""), Fail, "example.com p none", "example.com", NoPolicy},
	{"np of the domain itself", published(map[string]string{"example.com": "v=DMARC1; p=quarantine; np=reject"}),
		message("example.com", ""), Fail, "example.com p quarantine", "", Quarantine},
	{"sp without np", published(map[string]string{"example.com": "v=DMARC1; p=none; sp=quarantine"}),
		message("no.example.com", ""), Fail, "example.com sp quarantine", "example.com", Quarantine},
	{"np of a message that passes", published(map[string]string{"example.com": "v=DMARC1; p=none; np=reject"}),
		message("no.example.com", "example.com"), Pass, "example.com p none", "example.com", NoPolicy},
	{"np=none below reject", published(map[string]string{"example.com": "v=DMARC1; p=reject; np=none"}),
		message("no.example.com", ""), Fail, "example.com np none", "example.com", NoPolicy},
	{"np of a public suffix, name missing", published(map[string]string{"bank.example": "v=DMARC1; p=none; sp=quarantine; np=reject; psd=y"}),
		message("no.bank.example", ""), Fail, "bank.example np reject", "no.bank.example", Reject},
	{"np of a public suffix, name far below", published(map[string]string{"bank.example": "v=DMARC1; p=none; sp=quarantine; np=reject; psd=y"}),
		message("mail.no.bank.example", ""), Fail, "bank.example np reject", "no.bank.example", Reject},
	{"np of a public suffix, name there", &zone{txt: map[string][]string{"_dmarc.bank.example": {"v=DMARC1; p=none; sp=quarantine; np=reject; psd=y"}}, also: []string{"a.bank.example"}},
		message("a.bank.example", ""), Fail, "bank.example sp quarantine", "a.bank.example", Quarantine},
	{"np of psd=n", published(map[string]string{"example.com": "v=DMARC1; p=none; np=reject; psd=n", "com": "v=DMARC1; p=none"}),
		message("no.example.com", ""), Fail, "example.com np reject", "example.com", Reject},
	{"np of a name with a record of its own", published(map[string]string{"a.example.com": "v=DMARC1; p=quarantine; np=reject", "example.com": "v=DMARC1; p=none; np=reject"}),
		message("a.example.com", ""), Fail, "a.example.com p quarantine", "", Quarantine},
	{"np of ten labels", published(map[string]string{"example.com": "v=DMARC1; p=none; np=reject"}),
		message("a.b.c.d.e.f.g.h.example.com", ""), Fail, "example.com np reject", "example.com", Reject},
	{"np that is none", published(map[string]string{"example.com": "v=DMARC1; p=reject; np=rejct"}),
		message("no.example.com", ""), PermError, "example.com  ", "example.com", NoPolicy},

	// t=y.
	{"testing reject", published(map[string]string{"example.com": "v=DMARC1; p=reject; t=y"}), message("example.com", ""), Fail, "example.com p reject", "", Quarantine},
	{"testing quarantine", published(map[string]string{"example.com": "v=DMARC1; p=quarantine; t=y"}), message("example.com", ""), Fail, "example.com p quarantine", "", NoPolicy},
	{"testing none", published(map[string]string{"example.com": "v=DMARC1; p=none; t=y"}), message("example.com", ""), Fail, "example.com p none", "", NoPolicy},
	{"testing np", published(map[string]string{"example.com": "v=DMARC1; p=none; np=reject; t=y"}),
		message("no.example.com", ""), Fail, "example.com np reject", "example.com", Quarantine},
	{"testing sp", published(map[string]string{"example.com": "v=DMARC1; p=none; sp=reject; t=y"}),
		message("a.example.com", ""), Fail, "example.com sp reject", "example.com", Quarantine},
	{"testing public suffix", published(map[string]string{"bank.example": "v=DMARC1; p=reject; psd=y; t=y"}),
		message("a.bank.example", ""), Fail, "bank.example p reject", "a.bank.example", Quarantine},
	{"testing in the record that does not apply", published(map[string]string{"a.example.com": "v=DMARC1; p=reject", "example.com": "v=DMARC1; p=reject; t=y"}),
		message("a.example.com", ""), Fail, "a.example.com p reject", "", Reject},
	{"testing a message that passes", published(map[string]string{"example.com": "v=DMARC1; p=reject; t=y"}),
		message("example.com", "example.com"), Pass, "example.com p reject", "", NoPolicy},

	// Ten labels and more.
	{"ten labels, record cut out", published(map[string]string{"b.c.d.e.f.g.h.example.com": "v=DMARC1; p=none; psd=n", "example.com": "v=DMARC1; p=reject"}),
		message("a.b.c.d.e.f.g.example.com", "example.com"), Pass, "example.com p reject", "example.com", NoPolicy},
	{"ten labels, psd=y right above the cut", published(map[string]string{"d.e.f.g.h.example.com": "v=DMARC1; p=reject; psd=y"}),
		message("a.b.c.d.e.f.g.h.example.com", "x.c.d.e.f.g.h.example.com"), Pass, "d.e.f.g.h.example.com p reject", "c.d.e.f.g.h.example.com", NoPolicy},
	{"ten labels, psd=n of the author", published(map[string]string{"a.b.c.d.e.f.g.h.example.com": "v=DMARC1; p=reject; psd=n", "example.com": "v=DMARC1; p=none"}),
		message("a.b.c.d.e.f.g.h.example.com", "", "example.com"), Fail, "a.b.c.d.e.f.g.h.example.com p reject", "a.b.c.d.e.f.g.h.example.com", Reject},
	{"ten labels, psd=y of the author", published(map[string]string{"a.b.c.d.e.f.g.h.example.com": "v=DMARC1; p=reject; psd=y", "example.com": "v=DMARC1; p=none"}),
		message("a.b.c.d.e.f.g.h.example.com", "", "example.com"), Fail, "a.b.c.d.e.f.g.h.example.com p reject", "a.b.c.d.e.f.g.h.example.com", Reject},
	{"ten labels, psd=n where the walk goes on", published(map[string]string{"d.e.f.g.h.example.com": "v=DMARC1; p=reject; psd=n", "example.com": "v=DMARC1; p=none"}),
		message("a.b.c.d.e.f.g.h.example.com", "", "d.e.f.g.h.example.com"), Pass, "d.e.f.g.h.example.com p reject", "d.e.f.g.h.example.com", NoPolicy},
	{"ten labels, psd=y at the top", published(map[string]string{"com": "v=DMARC1; p=reject; psd=y"}),
		message("a.b.c.d.e.f.g.h.example.com", "example.com"), Pass, "com p reject", "example.com", NoPolicy},

	// Several records, and what is none.
	{"several records", &zone{txt: map[string][]string{"_dmarc.example.com": {"v=DMARC1; p=reject", "v=DMARC1; p=none"}}},
		message("example.com", ""), None, "", "", NoPolicy},
	{"several records below one", &zone{txt: map[string][]string{"_dmarc.a.example.com": {"v=DMARC1; p=none", "v=DMARC1; p=none"}, "_dmarc.example.com": {"v=DMARC1; p=reject"}}},
		message("a.example.com", ""), Fail, "example.com p reject", "example.com", Reject},
	{"several records at the public suffix", &zone{txt: map[string][]string{"_dmarc.bank.example": {"v=DMARC1; p=reject; psd=y", "v=DMARC1; p=reject; psd=y"}}},
		message("a.bank.example", "a.bank.example"), None, "", "a.bank.example", NoPolicy},
	{"several records where psd=n was", &zone{txt: map[string][]string{"_dmarc.a.example.com": {"v=DMARC1; p=none; psd=n", "v=DMARC1; p=none"}, "_dmarc.example.com": {"v=DMARC1; p=reject"}}},
		message("x.a.example.com", "example.com"), Pass, "example.com p reject", "example.com", NoPolicy},
	{"several records at the author, one at the public suffix", &zone{txt: map[string][]string{"_dmarc.a.bank.example": {"v=DMARC1; p=none", "v=DMARC1; p=none"}, "_dmarc.bank.example": {"v=DMARC1; p=reject; psd=y"}}},
		message("a.bank.example", "b.bank.example"), Fail, "bank.example p reject", "a.bank.example", Reject},
	{"other text beside a record", &zone{txt: map[string][]string{"_dmarc.example.com": {"v=spf1 -all", "v=DMARC1; p=reject", "v=DMARC2; p=none"}}},
		message("example.com", ""), Fail, "example.com p reject", "", Reject},
	{"no record", published(nil), message("example.com", "example.com"), None, "", "", NoPolicy},
	{"unusable record", published(map[string]string{"example.com": "v=DMARC1; p=reject; sp=rejct"}), message("example.com", ""), PermError, "example.com  ", "", NoPolicy},
	{"bad sp with reports", published(map[string]string{"example.com": "v=DMARC1; p=reject; sp=rejct; rua=mailto:d@example.com"}),
		message("example.com", ""), Fail, "example.com p none", "", NoPolicy},
	{"a record of its version only", published(map[string]string{"a.example.com": "v=DMARC1", "example.com": "v=DMARC1; p=reject"}),
		message("a.example.com", ""), None, "a.example.com  ", "", NoPolicy}, // it is found first: section 4.10.1
	{"a public suffix that says no more", published(map[string]string{"bank.example": "v=DMARC1; psd=y"}),
		message("a.bank.example", ""), None, "bank.example  ", "a.bank.example", NoPolicy},

	// Alignment.
	{"strict", published(map[string]string{"example.com": "v=DMARC1; p=reject; aspf=s; adkim=s"}),
		message("example.com", "a.example.com", "b.example.com"), Fail, "example.com p reject", "", Reject},
	{"strict of SPF only", published(map[string]string{"example.com": "v=DMARC1; p=reject; aspf=s"}),
		message("example.com", "a.example.com", "b.example.com"), Pass, "example.com p reject", "example.com", NoPolicy},
	{"case and trailing dot", exampleCom, message("EXAMPLE.com", "Example.COM."), Pass, "example.com p reject", "", NoPolicy},
	{"U-labels and A-labels", published(map[string]string{"xn--bcher-kva.example": "v=DMARC1; p=reject"}),
		message("BÜCHER.example", "", "xn--bcher-kva.example"), Pass, "xn--bcher-kva.example p reject", "", NoPolicy},
	{"a name that only ends alike", exampleCom, message("example.com", "notexample.com", "example.com.attack.com"), Fail, "example.com p reject", "example.com", Reject},
	{"no domain at all", exampleCom, message("example.com", "example.com'a.attack.com", "example.com(a", "example.com\x00.attack.com", ""), Fail, "example.com p reject", "", Reject},
}

var (
	exampleCom = published(map[string]string{"example.com": "v=DMARC1; p=reject; sp=quarantine"})
	simple     = published(map[string]string{"example.com": "v=DMARC1; p=reject", "signing.example.com": "v=DMARC1; p=none"})
	bank       = published(map[string]string{"bank.example": "v=DMARC1; p=reject; psd=y", "giant.bank.example": "v=DMARC1; p=reject"})
)

// fresh is z before it was asked for anything.
func (z *zone) fresh() *zone { return &zone{txt: z.txt, also: z.also, fail: z.fail} }

func (o *Outcome) policy() string {
	if o.PolicyDomain == "" {
		return ""
	}
	return o.PolicyDomain + " " + o.PolicyTag + " " + string(o.Policy)
}

func TestCheck(t *testing.T) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			z := tt.zone.fresh()
			got := checker(t, z, Config{}).Check(t.Context(), tt.message)
			if got.Result != tt.result || got.policy() != tt.policy || got.Disposition != tt.disposition || tt.org != "" && got.OrganizationalDomain != tt.org {
				t.Fatalf("%s by %q of %q: %s (%s)\nwant %s by %q of %q: %s", got.Result, got.policy(), got.OrganizationalDomain, got.Disposition, got.Reason,
					tt.result, tt.policy, tt.org, tt.disposition)
			}
			if asked := z.queries(); got.Lookups != len(asked) || len(slices.Compact(asked)) != got.Lookups {
				t.Errorf("%d lookups; asked for %q", got.Lookups, asked)
			}
			if (got.Result == Pass) != (got.SPF != nil && got.SPF.Aligned || slices.ContainsFunc(got.DKIM, func(id Identifier) bool { return id.Aligned })) {
				t.Errorf("%s with %+v and %+v", got.Result, got.SPF, got.DKIM)
			}

			// Without one of its answers the outcome is a temperror, or the answer was
			// not needed and it is the same.
			for _, name := range z.queries() {
				out := checker(t, z.without(name), Config{}).Check(t.Context(), tt.message)
				switch {
				case out.Result == TempError:
					if out.Disposition != NoPolicy || out.Reason == "" {
						t.Errorf("without %s: %+v", name, out)
					}
				case out.Result != got.Result || out.policy() != got.policy() || out.Disposition != got.Disposition:
					t.Errorf("without %s: %s by %q: %s", name, out.Result, out.policy(), out.Disposition)
				}
				if name == "_dmarc."+got.PolicyDomain && out.Result != TempError {
					t.Errorf("%s without the record that applies", out.Result)
				}
			}
		})
	}
}
