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
	f.Add(hop{key: k, instance: "(a;) 01 (b\\)c)", c: "-", message: "l=3; x=1; "}.on(f, message))
	f.Add(hop{key: k, seal: "h=from; "}.on(f, pass(f, message, k)))
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
			for _, s := range chain.Sets {
				if s.Domain != "one.example" || s.Signer != "one.example" {
					t.Errorf("%+v", chain)
				}
			}
			if n := strings.Count(strings.ToLower(m), "arc-"); len(chain.Sets) == 0 || n < 3*len(chain.Sets) {
				t.Errorf("%+v", chain)
			}
		default:
			t.Errorf("status %q", chain.Status)
		}
	})
}
