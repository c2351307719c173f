package arc

import (
	"strings"
	"testing"
)

// No message makes a chain pass that nobody has sealed, and what passes has whole
// sets.
func FuzzValidate(f *testing.F) {
	z := zone{}
	k := key(f, z, "one.example", "ed25519")
	whole := sealed(f, z, message, footer, k)
	f.Add(whole)
	f.Add(sealed(f, z, whole, footer, k))
	f.Add(message)
	f.Add("ARC-Seal: i=1\r\nARC-Message-Signature: i=1\r\nARC-Authentication-Results: i=1;\r\n\r\n")
	f.Add("ARC-Seal: i=50; cv=fail\r\n\r\n")
	v := validator(f, z)
	f.Fuzz(func(t *testing.T, m string) {
		chain, err := v.Validate(t.Context(), strings.NewReader(m))
		if err != nil {
			return
		}
		switch chain.Status {
		case None:
			if len(chain.Sets) > 0 || chain.Reason != "" {
				t.Errorf("%+v", chain)
			}
		case Fail:
			if chain.Reason == "" {
				t.Error("no reason")
			}
		case Pass:
			if len(chain.Sets) == 0 || chain.Sets[0].Domain != "one.example" {
				t.Errorf("%+v", chain)
			}
		default:
			t.Errorf("status %q", chain.Status)
		}
	})
}
