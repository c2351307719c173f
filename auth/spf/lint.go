package spf

import (
	"context"
	"fmt"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Defect is a kind of finding.
type Defect string

// What Lint finds. Those that make a permerror hurt the domain's own mail.
const (
	NoPolicy       Defect = "no policy"           // none at all
	ManyRecords    Defect = "several records"     // a permerror (RFC 7208, section 4.5)
	Malformed      Defect = "malformed"           // a permerror (section 4.6)
	Unreachable    Defect = "unreachable"         // DNS did not answer, so that nothing can be said
	TooManyLookups Defect = "too many lookups"    // a permerror for who comes to the last terms (section 4.6.4)
	TooManyVoids   Defect = "too many voids"      // likewise
	TooManyMX      Defect = "too many MX"         // a permerror (section 4.6.4)
	DeadEnd        Defect = "dead end"            // an include or redirect of no policy: a permerror (sections 5.2, 6.1)
	Loop           Defect = "loop"                // a record that includes itself: a permerror
	Oversize       Defect = "oversize"            // a record that may not fit one UDP answer (section 3.4)
	PassAll        Defect = "anybody passes"      // +all, or networks of nearly everybody
	PTR            Defect = "ptr"                 // not to be published (section 5.5)
	NoAll          Defect = "no all"              // the end is neutral: the policy forbids nothing (section 4.7)
	AfterAll       Defect = "behind all"          // terms never reached, or a redirect that is ignored (section 5.1)
	Nothing        Defect = "finds nothing"       // a name without such data (a void lookup)
	Dynamic        Defect = "depends on the mail" // macros: what it leads to cannot be told here
)

// Finding is one thing that is wrong with a policy, or worth knowing of it.
type Finding struct {
	Defect Defect
	Domain string // in whose record
	Term   string // as written; "" for what concerns the whole record
	Text   string // in words, for the domain's owner
}

// String returns the finding on one line, in printable ASCII.
func (f Finding) String() string {
	if f.Term == "" {
		return fmt.Sprintf("%s: %s: %s", clip(f.Domain), f.Defect, f.Text)
	}
	return fmt.Sprintf("%s: %+q: %s: %s", clip(f.Domain), clip(f.Term), f.Defect, f.Text)
}

// Report is what Lint found. Its zero value is that of a sound policy.
type Report struct {
	Domain   string // as Lint read it
	Findings []Finding
	Lookups  int // terms that ask DNS, through all includes and redirects; more than ten are too many, and past a hundred nobody counts
	Voids    int // those of them that find nothing
	Records  int // policies read
}

// Bounds of one Lint: terms that ask DNS, and findings.
const (
	maxLintLookups = 100
	maxFindings    = 100
)

// Lint reads the policy of a domain, with all it includes, as a client would
// who matches none of it, and reports what its owner should mend. It judges no
// client, and so asks for the addresses of both families, where a name without
// either is a void.
func (c *Checker) Lint(ctx context.Context, name string) Report {
	if c.resolver == nil {
		return Report{Domain: name, Findings: []Finding{{Defect: Unreachable, Domain: name, Text: errZero.Error()}}}
	}
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	l := &linter{checker: c, ctx: limited, report: Report{Domain: name}}
	normal, err := domain.Normal(name)
	if err != nil || !strings.Contains(normal, ".") {
		l.find(NoPolicy, name, "", "not a fully qualified domain name")
		return l.report
	}
	l.report.Domain = normal
	l.policy(normal+".", nil, "")
	if n := l.report.Lookups; n > maxLookups {
		l.find(TooManyLookups, normal, "", fmt.Sprintf("%d terms ask DNS, and ten may", n))
	}
	if n := l.report.Voids; n > c.voids {
		l.find(TooManyVoids, normal, "", fmt.Sprintf("%d terms find nothing, and %d may", n, c.voids))
	}
	return l.report
}
