package arc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

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

// scenario is a part of a suite of ValiMail's form.
type scenario struct {
	Tests map[string]struct {
		Description string `yaml:"description"`
		Message     string `yaml:"message"`
		CV          string `yaml:"cv"` // for validation

		// For sealing.
		Time      int64  `yaml:"t"`
		Fields    string `yaml:"sig-headers"`
		ID        string `yaml:"srv-id"`
		Seal      string `yaml:"AS"`
		Signature string `yaml:"AMS"`
		Results   string `yaml:"AAR"`
	} `yaml:"tests"`
	Domain   string `yaml:"domain"`
	Selector string `yaml:"sel"`
	Private  string `yaml:"privatekey"`
	TXT      zone   `yaml:"txt-records"`
}

// scenarios reads a file of a suite.
func scenarios(t *testing.T, elem ...string) (all []scenario) {
	t.Helper()
	text, err := os.ReadFile(require.Suite(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	text = regexp.MustCompile(`(?m)^  \w+:`).ReplaceAllFunc(text, func(key []byte) []byte {
		name := string(key[:len(key)-1])
		if seen[name]++; seen[name] > 1 { // some stand there twice
			name += "_" + strconv.Itoa(seen[name])
		}
		return []byte(name + ":")
	})
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var s scenario
		switch err := d.Decode(&s); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, s)
	}
}

// difference is what the RFCs decide otherwise than a suite, which is of a draft.
type difference struct {
	want Status
	why  string
}

// ended are seals with cv=fail, of whose chains the suites leave the status out.
var ended = map[string]difference{
	"cv_fail_i1_as_cv_fail": {Fail, "RFC 8617, section 5.2, step 2"},
	"cv_fail_i2_as2_fail":   {Fail, "the same"},
	"cv_fail_i2_as1_fail":   {Fail, "section 5.2, step 3 C"},
}

// The validation suite of ValiMail, and the variant of Mail::DKIM.
func TestSuiteValidation(t *testing.T) {
	for _, suite := range []struct {
		name        string
		cases       int
		differences map[string]difference
	}{
		{"valimail", 175, map[string]difference{
			"ams_fields_c_na":      {Fail, "no c= is simple/simple (RFC 6376, section 3.5), which it was not signed with"},
			"ams_fields_h_empty":   {Fail, "h= must not be empty, and has to have From (RFC 6376, sections 3.5 and 5.4)"},
			"ams_fields_h_mis_hdr": {Fail, "a name in h= that is none (RFC 6376, section 3.5), which makes the signature none (section 6.1.1)"},
		}},
		{"mail-dkim-variant", 174, map[string]difference{
			"ams_fields_a_sha1":    {Fail, "rsa-sha1 must not be accepted (RFC 8301, section 3.1)"},
			"as_fields_a_sha1":     {Fail, "the same"},
			"ams_fields_h_empty":   {Fail, "as above"},
			"ams_fields_h_mis_hdr": {Fail, "as above"},
		}},
	} {
		t.Run(suite.name, func(t *testing.T) {
			n := 0
			for _, s := range scenarios(t, "arc", suite.name, "arc-draft-validation-tests.yml") {
				v, err := New(Config{Resolver: s.TXT, Oldest: true})
				if err != nil {
					t.Fatal(err)
				}
				for _, id := range slices.Sorted(maps.Keys(s.Tests)) {
					c := s.Tests[id]
					n++
					chain, err := v.Validate(t.Context(), strings.NewReader(wire(c.Message)))
					if err != nil {
						t.Fatal(err)
					}
					want, why := Status(strings.ToLower(c.CV)), c.Description
					d, ok := suite.differences[id]
					if !ok {
						d, ok = ended[id]
					}
					if ok {
						if d.want == want {
							t.Errorf("%s: no difference any more", id)
						}
						want, why = d.want, d.why
					}
					if chain.Status != want || (chain.Status == Fail) != (chain.Reason != "") {
						t.Errorf("%s: %s (%s), want %s: %s", id, chain.Status, chain.Reason, want, why)
					}
				}
			}
			if n != suite.cases {
				t.Errorf("%d cases", n)
			}
		})
	}
}
