package arc

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

// zone is DNS as a map. What it does not have does not exist.
type zone map[string]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	text, ok := z[name]
	if !ok {
		return nil, &net.DNSError{Name: name, IsNotFound: true}
	}
	return []string{text}, nil
}

func wire(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// differences are the cases that the RFCs decide otherwise than the suite, which
// is of a draft.
var differences = map[string]struct {
	want Status
	why  string
}{
	"cv_fail_i1_as_cv_fail": {Fail, "a seal with cv=fail: RFC 8617, section 5.2, step 2; the suite has no status"},
	"cv_fail_i2_as2_fail":   {Fail, "the same"},
	"cv_fail_i2_as1_fail":   {Fail, "the same, by step 3 C"},
	"ams_fields_c_na":       {Fail, "no c= is simple/simple (RFC 6376, section 3.5), which it was not signed with; Mail::DKIM says so too"},
	"ams_fields_h_empty":    {Fail, "h= must not be empty, and has to have From (RFC 6376, sections 3.5 and 5.4)"},
	"ams_fields_h_mis_hdr":  {Fail, "a name in h= that is none (RFC 6376, section 3.5), which makes the signature none (section 6.1.1)"},
}

// The validation suite of ValiMail.
func TestSuiteValiMail(t *testing.T) {
	file := filepath.Join(require.Suite(t, "arc", "valimail"), "validation.json")
	var cases []struct {
		ID, Description, CV, Message string
		TXT                          zone
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			v, err := New(Config{Resolver: c.TXT, Oldest: true})
			if err != nil {
				t.Fatal(err)
			}
			chain, err := v.Validate(t.Context(), strings.NewReader(wire(c.Message)))
			if err != nil {
				t.Fatal(err)
			}
			want, why := Status(strings.ToLower(c.CV)), c.Description
			if d, ok := differences[c.ID]; ok {
				if d.want == want {
					t.Error("no difference any more")
				}
				want, why = d.want, d.why
			}
			if chain.Status != want || (chain.Status == Fail) != (chain.Reason != "") {
				t.Errorf("%s (%s), want %s: %s", chain.Status, chain.Reason, want, why)
			}
		})
	}
	if len(cases) != 171 {
		t.Errorf("%d cases", len(cases))
	}
}
