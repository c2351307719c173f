package smtpguardtest

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// racy are the cases in which go-smtp itself has a data race, which would end a
// test under the race detector.
var racy = []string{"smuggling/bdat-rset"}

// Each list under testdata is what go-smtp v0.25.1 does wrong. A case that
// leaves the list has been fixed there, and what works around it can go.
func TestBare(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		list string
		set  func(*Target)
	}{
		{"testdata/bare-defaults.txt", func(*Target) {}},
		{"testdata/bare-bounded.txt", func(target *Target) {
			target.Server.ReadTimeout = 300 * time.Millisecond
			target.Server.MaxMessageBytes = 128 << 10
			target.Server.MaxRecipients = 100
			target.Server.AllowInsecureAuth = false
			target.Silence = 300 * time.Millisecond
			target.Dribble = 600 * time.Millisecond
			target.PreGreeting = 20 * time.Millisecond
		}},
		{"testdata/bare-lmtp.txt", func(target *Target) { target.Server.LMTP, target.LMTP = true, true }},
		{"testdata/bare-implicit-tls.txt", func(target *Target) { target.ImplicitTLS = true }},
	} {
		t.Run(tt.list, func(t *testing.T) {
			t.Parallel()
			target := bareTarget(t)
			tt.set(&target)
			cases := Suite("")
			if raceEnabled {
				cases = slices.DeleteFunc(cases, func(k Case) bool { return slices.Contains(racy, k.Name) })
			}
			findings, err := CheckCases(context.Background(), target, cases)
			if err != nil {
				t.Fatal(err)
			}
			want := list(t, tt.list)
			if raceEnabled {
				want = slices.DeleteFunc(want, func(name string) bool { return slices.Contains(racy, name) })
			}
			for _, f := range findings {
				if i := slices.Index(want, f.Case.Name); i >= 0 {
					want = slices.Delete(want, i, i+1)
				} else {
					t.Errorf("%s is not on the list\n%v", f.Case.Name, f)
				}
			}
			for _, name := range want {
				t.Errorf("%s is on the list, and go-smtp passed it", name)
			}
		})
	}
}

func list(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}
