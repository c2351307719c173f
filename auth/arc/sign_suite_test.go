package arc

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// The signing suites. Theirs are signatures of one canonical way to write the tags,
// so ours are compared with them by what they say and by whether they verify; theirs
// have to verify too.
func TestSuiteSigning(t *testing.T) {
	for _, suite := range []struct {
		name, file string
		cases      int
		broken     map[string]string // by id: why the seals of the suite verify nowhere, with dkimpy and Mail::DKIM neither
	}{
		{"valimail", "arc-draft-sign-tests.yml", 17, nil},
		{"valimail", "unused_tests.yml", 7, map[string]string{
			// Their message signatures verify with no reading of h=, which is why the suite
			// does not use them.
			"header_order": "signature", "header_dup_ord1": "signature", "header_dup_ord2": "signature",
			"header_non": "signature", "sig_header_dup_once": "signature", "sig_header_dup_twice": "signature",
		}},
		{"mail-dkim-variant", "arc-draft-sign-tests.yml", 17, map[string]string{
			// The seal of its first set is over results of another spelling than the message
			// has, and relaxed canonicalisation makes no space out of none (RFC 6376, section
			// 3.4.2). Mail::DKIM believes arc=pass of the message and seals all the same.
			"i1_base": "seal 1", "i2_base": "seal 2",
		}},
	} {
		t.Run(suite.name+" "+suite.file, func(t *testing.T) {
			n := 0
			for _, s := range scenarios(t, "arc", suite.name, suite.file) {
				for _, id := range slices.Sorted(maps.Keys(s.Tests)) {
					n++
					t.Run(id, func(t *testing.T) { signs(t, &s, id, suite.broken[id]) })
				}
			}
			if n != suite.cases {
				t.Errorf("%d cases", n)
			}
		})
	}
}

func signs(t *testing.T, s *scenario, id, broken string) {
	c := s.Tests[id]
	message := wire(c.Message)
	z := make(zone)
	for name, text := range s.TXT {
		z[name] = strings.ReplaceAll(text, "\n", "")
	}
	block, _ := pem.Decode([]byte(s.Private))
	private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	k := Key{Domain: s.Domain, Selector: s.Selector, Private: private}
	sealer, err := NewSealer(SealConfig{Fields: strings.Split(c.Fields, ":")})
	if err != nil {
		t.Fatal(err)
	}

	results, status := merged(t, message, c.ID)
	chain := validated(t, z, message)
	if strings.HasPrefix(broken, "seal") {
		if chain.Status != Fail || !strings.HasPrefix(chain.Reason, broken) {
			t.Errorf("%s (%s), want %s to be broken", chain.Status, chain.Reason, broken)
		}
		chain.Status = Pass // as the suite has it, for what is sealed then
	}
	if status != "" && status != chain.Status {
		t.Errorf("%s (%s), the suite says %s", chain.Status, chain.Reason, status)
	}
	fields, err := sealer.seal(t.Context(), strings.NewReader(message), chain, results, k, time.Unix(c.Time, 0))
	if c.Seal == "" {
		if !errors.Is(err, ErrSealed) {
			t.Errorf("sealed: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	theirs := []string{"ARC-Seal: " + joined(c.Seal) + "\r\n", "ARC-Message-Signature: " + joined(c.Signature) + "\r\n", "ARC-Authentication-Results: " + joined(c.Results) + "\r\n"}

	// What they say is the same. In h= ours has each field as often as the message, and
	// From once more: nobody can add one.
	for i := range fields[:2] {
		ours, want := tags(t, fields[i]), tags(t, theirs[i])
		for _, all := range []map[string]string{ours, want} {
			delete(all, "b")
			var names []string
			for name := range strings.SplitSeq(strings.ToLower(all["h"]), ":") {
				if !slices.Contains(names, name) && strings.Contains("\n"+strings.ToLower(c.Message), "\n"+name+":") {
					names = append(names, name)
				}
			}
			all["h"] = strings.Join(names, ":")
		}
		if !maps.Equal(ours, want) {
			t.Errorf("sealed %q, want %q", ours, want)
		}
	}
	if got := joined(strings.ReplaceAll(fields[2], "\r\n", "\n")); got != joined(theirs[2]) {
		t.Errorf("results are %q, want %q", got, theirs[2])
	}
	for who, set := range map[string][]string{"ours": fields, "theirs": theirs} {
		got := validated(t, z, strings.Join(set, "")+message)
		switch {
		case strings.HasPrefix(broken, "seal"), broken == "signature" && who == "theirs":
			if got.Status != Fail || !strings.Contains(got.Reason, broken) { // all above it is good
				t.Errorf("%s: %s (%s), want %s to be broken", who, got.Status, got.Reason, broken)
			}
		case chain.Status != Fail:
			if got.Status != Pass || len(got.Sets) != len(chain.Sets)+1 {
				t.Errorf("%s: %s (%s)", who, got.Status, got.Reason)
			}
		case got.Status != Fail:
			t.Errorf("%s: %s", who, got.Status)
		case !alone(t, z, set):
			t.Errorf("%s: the seal is not of this set alone (RFC 8617, section 5.1.2)", who)
		}
	}
}

// merged makes one of the Authentication-Results fields of id (RFC 8617, section
// 4.1.1), and says what they have of arc.
func merged(t *testing.T, message, id string) (results string, status Status) {
	t.Helper()
	header, _, _ := strings.Cut(message, "\r\n\r\n")
	header = strings.ReplaceAll(header, "\r\n ", "\n ")
	for line := range strings.SplitSeq(header, "\r\n") {
		value, ok := strings.CutPrefix(line, "Authentication-Results:")
		if !ok {
			continue
		}
		r, err := authres.Parse(strings.ReplaceAll(value, "\n", "\r\n"))
		if err != nil || r.ID != id {
			continue
		}
		for _, m := range r.Find("arc") {
			status = Status(m.Result)
		}
		_, found, _ := strings.Cut(value, ";")
		results += "; " + joined(found)
	}
	return id + results, status
}

// joined is text on one line. A line that does not end a tag goes on where it was cut.
func joined(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		b.WriteString(line)
		if strings.HasSuffix(line, ";") {
			b.WriteByte(' ')
		}
	}
	return strings.TrimSpace(b.String())
}

// tags are those of a field, without white space.
func tags(t *testing.T, field string) map[string]string {
	t.Helper()
	_, value, _ := strings.Cut(field, ":")
	list, err := mailsig.ParseTags(value, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, tag := range list {
		all[tag.Name] = strings.Join(strings.Fields(tag.Value), "")
	}
	return all
}

// alone reports whether the seal of a set is good where there is no other set.
func alone(t *testing.T, z zone, fields []string) bool {
	t.Helper()
	run, err := validator(t, z).engine.Start(strings.NewReader(strings.Join(fields, "") + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	s := set{fields: [3]int{2, 1, 0}}
	tags, err := mailsig.ParseField(run.Header.Fields[0].Value(), run.Engine.Limits)
	if err != nil {
		t.Fatal(err)
	}
	if s.seal, err = mailsig.NewSeal(tags); err != nil {
		t.Fatal(err)
	}
	records, err := run.Key(t.Context(), s.seal.KeyName).Wait()
	if err != nil {
		t.Fatal(err)
	}
	digests, err := seals(run, []set{s})
	if err != nil {
		t.Fatal(err)
	}
	return s.seal.Verify(records[0], digests[0][:]) == nil
}
