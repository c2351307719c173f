package spf_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/spf"
)

func TestLint(t *testing.T) {
	z := parseZone(t, `
sound.example TXT v=spf1 ip4:192.0.2.0/24 include:inner.example -all
inner.example TXT v=spf1 ip6:2001:db8::/32 ?all
none.example TXT something else
several.example TXT v=spf1 -all
several.example TXT v=spf1 +all
broken.example TXT v=spf1 ipv4:192.0.2.1 -all
down.example TIMEOUT
many.example TXT v=spf1 include:five.example include:five.example mx:mx.example -all
five.example TXT v=spf1 a:a.example a:a.example a:a.example a:a.example
a.example A 192.0.2.1
mx.example MX 1 a.example
voids.example TXT v=spf1 a:gone.example mx:gone.example exists:gone.example -all
six.example TXT v=spf1 a:six.example -all
six.example AAAA 2001:db8::1
mxs.example TXT v=spf1 mx -all
dead.example TXT v=spf1 include:gone.example redirect=gone.example
loop.example TXT v=spf1 include:loop2.example -all
loop2.example TXT v=spf1 redirect=LOOP.example
self.example TXT v=spf1 include:%{d} -all
all.example TXT v=spf1 +all
wide.example TXT v=spf1 ip4:0.0.0.0/0 ip6:::/1 a:a.example/3 -ip4:0.0.0.0/1 -all
ptr.example TXT v=spf1 ptr -all
open.example TXT v=spf1 ip4:192.0.2.1
behind.example TXT v=spf1 -all ip4:192.0.2.1 redirect=sound.example
macro.example TXT v=spf1 exists:%{i}.example include:%{l}.example -all
nested.example TXT v=spf1 include:all.example -all
`)
	for i := range 11 {
		if err := z.add("mxs.example", "MX", fmt.Sprint(i, " a.example")); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.add("big.example", "TXT", "v=spf1"+strings.Repeat(" ip4:192.0.2.111", 30)+" -all"); err != nil {
		t.Fatal(err)
	}
	if err := z.add("huge.example", "TXT", "v=spf1"+strings.Repeat(" a:a.example", 2000)+" -all"); err != nil {
		t.Fatal(err)
	}
	checker := newChecker(t, z)
	for _, tt := range []struct {
		name    string
		lookups int
		want    []string // defect, domain and term of each finding
	}{
		{"sound.example", 1, nil},
		{"SOUND.example.", 1, nil},
		{"example", 0, []string{"no policy|example|"}},
		{"none.example", 0, []string{"no policy|none.example|"}},
		{"several.example", 0, []string{"several records|several.example|"}},
		{"broken.example", 0, []string{"malformed|broken.example|"}},
		{"down.example", 0, []string{"unreachable|down.example|"}},
		{"many.example", 11, []string{"too many lookups|many.example|"}},
		{"voids.example", 3, []string{
			"finds nothing|voids.example|a:gone.example", "finds nothing|voids.example|mx:gone.example",
			"finds nothing|voids.example|exists:gone.example", "too many voids|voids.example|",
		}},
		{"six.example", 1, nil},
		{"mxs.example", 1, []string{"too many MX|mxs.example|mx"}},
		{"dead.example", 2, []string{"dead end|dead.example|include:gone.example", "dead end|dead.example|redirect=gone.example"}},
		{"loop.example", 2, []string{"loop|loop2.example|redirect=LOOP.example"}},
		{"self.example", 1, []string{"loop|self.example|include:%{d}"}},
		{"all.example", 0, []string{"anybody passes|all.example|+all"}},
		{"wide.example", 1, []string{
			"anybody passes|wide.example|ip4:0.0.0.0/0", "anybody passes|wide.example|ip6:::/1", "anybody passes|wide.example|a:a.example/3",
		}},
		{"ptr.example", 1, []string{"ptr|ptr.example|ptr"}},
		{"open.example", 0, []string{"no all|open.example|"}},
		{"behind.example", 0, []string{"behind all|behind.example|ip4:192.0.2.1", "behind all|behind.example|redirect=sound.example"}},
		{"macro.example", 2, []string{
			"depends on the mail|macro.example|exists:%{i}.example", "depends on the mail|macro.example|include:%{l}.example",
		}},
		{"nested.example", 1, []string{"anybody passes|all.example|+all"}},
		{"big.example", 0, []string{"oversize|big.example|"}},
		{"huge.example", 100, []string{"oversize|huge.example|", "too many lookups|huge.example|"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			report := checker.Lint(t.Context(), tt.name)
			var got []string
			for _, f := range report.Findings {
				got = append(got, fmt.Sprintf("%s|%s|%s", f.Defect, f.Domain, f.Term))
				if f.Text == "" || !strings.Contains(f.String(), f.Text) {
					t.Errorf("finding %q: text %q", f, f.Text)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if report.Lookups != tt.lookups {
				t.Errorf("%d lookups, want %d", report.Lookups, tt.lookups)
			}
		})
	}
}

// TestLintAgrees shows that what Lint finds does happen to mail.
func TestLintAgrees(t *testing.T) {
	z := parseZone(t, `
over.example TXT v=spf1 a:a.example a:a.example a:a.example a:a.example a:a.example a:a.example include:more.example -all
more.example TXT v=spf1 a:a.example a:a.example a:a.example a:a.example -all
a.example A 192.0.2.1
`)
	checker := newChecker(t, z)
	if report := checker.Lint(t.Context(), "over.example"); report.Lookups != 11 {
		t.Errorf("%d lookups", report.Lookups)
	}
	got := checker.MailFrom(t.Context(), client, "", "ann@over.example")
	if got.Result != spf.PermError || got.Lookups != 10 {
		t.Errorf("%s after %d lookups", got.Result, got.Lookups)
	}
}
