package verify

import (
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/spf"
)

// What the owner of a domain writes does not fill logs.
func TestReasonIsShort(t *testing.T) {
	r := Result{SPF: spf.Outcome{Result: spf.Fail, Mechanism: "-exists:" + strings.Repeat("%{d}", 10000), Where: "example.com"}}
	if d := new(Policy).decide(&r); len(d.reason) > 300 || !strings.HasPrefix(d.reason, "SPF: -exists:%{d}") || !strings.HasSuffix(d.reason, " of example.com") {
		t.Errorf("%.100q of %d octets", d.reason, len(d.reason))
	}
}
