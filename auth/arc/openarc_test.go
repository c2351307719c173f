package arc

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/internal/require"
)

// The scenarios of OpenARC, by the files it configures them with: each has a test
// here, or is of what is not ours.
func TestOpenARC(t *testing.T) {
	tests := map[string]func(*testing.T){
		"test_milter_ar":                    TestReadResults,
		"test_milter_ar_override_disabled":  TestFieldsDoNotCount,
		"test_milter_canon_simple":          TestTags,
		"test_milter_finalreceiver":         TestSeal,
		"test_milter_idna":                  TestIDNA,
		"test_milter_maximumheaders":        TestBodyUnread,
		"test_milter_responseunwilling":     TestBodyUnread,
		"test_milter_minimum_key_bits":      TestKeyBits,
		"test_milter_minimum_key_bits_fail": TestKeyBits,
		"test_milter_mode_none_sign":        TestSeal,
		"test_milter_mode_none_verify":      TestSuiteValidation,
		"test_milter_mode_s":                TestSeal,
		"test_milter_mode_v":                TestSuiteValidation,
		"test_milter_resign":                TestFiftySets,
		"test_milter_resign_s":              TestFiftySets,
		"test_milter_signaturettl":          TestTags,
		"test_dkimpy_verify":                TestPeersValidate,
	}
	elsewhere := map[string]string{
		"peerlist":                          "who is not looked at: auth/verify, Config.Known",
		"peerlist_nolocalhost":              "the same",
		"test_milter_peerlist":              "the same",
		"test_milter_responsedisabled":      "the same",
		"test_milter_authresip":             "smtp.remote-ip is written by auth/verify",
		"test_milter_softwareheader":        "a field that names the software: there is none",
		"test_config_fail":                  "a file of configuration: there is none",
		"test_config_requiresafekeys":       "who may read a key: it comes as a crypto.Signer",
		"test_config_requiresafekeys_false": "the same",
	}
	entries, err := os.ReadDir(require.Suite(t, "arc", "openarc", "files"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".conf"); tests[name] == nil && elsewhere[name] == "" {
			t.Errorf("%s has no test", name)
		}
	}
}

// Results as OpenARC is tried with: what of them a reader of the sealed field finds.
// It leaves out unknown methods and ptypes, and the second result of a method; who
// reads ours has all that was sealed, and picks.
func TestReadResults(t *testing.T) {
	z := zone{}
	k := key(t, z, "example.com", "ed25519")
	for results, want := range map[string]string{
		"iprev=pass\r\n\tpolicy.iprev=192.0.2.1 (mail.example.com);\r\n\tspf=pass (domain of foo@example.com\r\n\t designates 192.0.2.1 as permitted sender); dkim=pass header.i=@example.com header.s=foo": "iprev=pass spf=pass dkim=pass",
		"spf=pass; spf=fail; spf=none": "spf=pass spf=fail spf=none",
		"(a)spf (Sender Policy Framework) = pass (good) smtp (mail transfer) . (protocol) mailfrom = foo@example.com;": "spf=pass",
		"spf=pass; superspf=pass; arc=pass; superarc=fail policy.krypton=foo;":                                         "spf=pass superspf=pass arc=pass superarc=fail",
		"spf=pass imap.override=true": "spf=pass",
		"spf=pass (ip4)reason=\"192.0.2.1 matched ip4:192.0.2.0/27 in _spf.example.com\"; dmarc=pass": "spf=pass dmarc=pass",
		"spf=pass; iprev=pass policy.iprev=192.0.2.1 reason=\"because\"":                              "spf=pass iprev=pass", // common, if not legal
		"none":                                            "",
		"none; spf=pass":                                  "error",
		"spf=fail; none":                                  "error",
		"spf":                                             "error",
		"spf=":                                            "error",
		"dmarc=pass; iprev=pass policy":                   "error",
		"dmarc=pass; iprev=pass policy.":                  "error",
		"dmarc=pass; iprev=pass policy.iprev":             "error",
		"dmarc=pass; iprev=pass policy.iprev=":            "error",
		"dmarc=pass; iprev=pass policy.iprev=\"":          "error",
		"dmarc=pass; iprev=pass policy.iprev=\"1":         "error",
		"dmarc=pass; iprev=pass policy.iprev=\"1\" (":     "error",
		"dmarc=pass; iprev=pass policy.iprev=\"1\" ( a c": "error",
		"dmarc=pass; spf pass;":                           "error",
		"dmarc=pass; iprev=pass policy.iprev.192.0.2.1":   "error",
		"dmarc=pass; iprev=pass policy=iprev=192.0.2.1":   "error",
		"dmarc=pass reason \"because\";":                  "error",
		"dnswl=pass dns.zone=accept.example.com policy.ip=192.0.2.1 policy.txt=\"sure, yeah\" dns.sec=yes": "dnswl=pass",
		"auth=pass smtp.auth=\"\xe8\x8a\xb1\xe6\x9c\xa8\xe8\x98\xad\\\"\\\\ []\"":                          "auth=pass",
	} {
		m := hop{key: k, results: "example.com; " + results}.on(t, message)
		chain := validated(t, z, m)
		if chain.Status != Pass {
			t.Errorf("%s: %+v", results, chain)
			continue
		}
		var got []string
		r, err := authres.Parse(chain.Sets[0].Results)
		if err != nil {
			got = append(got, "error")
		}
		for _, m := range r.Methods {
			got = append(got, m.Name+"="+string(m.Result))
		}
		if text := strings.Join(got, " "); text != want || err == nil && r.ID != "example.com" {
			t.Errorf("%s: %s of %s (%v), want %s", results, text, r.ID, err, want)
		}
	}
	for _, id := range []string{"example.com 1", "example.com 1 ", "(a) example.com (b)", "\"example.com\""} {
		chain := validated(t, z, hop{key: k, results: id + "; spf=pass"}.on(t, message))
		if r, err := authres.Parse(chain.Sets[0].Results); err != nil || r.ID != "example.com" {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
}

// What fields of the message say of its chain does not count; what was validated does.
func TestFieldsDoNotCount(t *testing.T) {
	z := zone{}
	k := key(t, z, "example.com", "ed25519")
	m := pass(t, message, k)
	good := sealed(t, z, "Authentication-Results: example.com; arc=fail\r\n"+m, nil, k)
	bad := sealed(t, z, "Authentication-Results: example.com; arc=pass\r\n"+m+"more\r\n", nil, k)
	judge(t, z, []judged{{"arc=fail", good, Pass, ""}, {"arc=pass", bad, Fail, "failed before"}})
	s, err := NewSealer(SealConfig{})
	if err != nil {
		t.Fatal(err)
	}
	bad = "Authentication-Results: example.com; arc=pass\r\n" + bad
	if _, err := s.Seal(t.Context(), strings.NewReader(bad), validated(t, z, bad), "example.com; arc=pass", k); err != ErrSealed {
		t.Errorf("sealed again: %v", err)
	}
}

// The seal of a chain that has failed is the same, whatever the sets before it are
// (RFC 8617, section 5.1.2).
func TestSealFailedAlone(t *testing.T) {
	z := zone{}
	k := key(t, z, "one.example", "ed25519")
	s, err := NewSealer(SealConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m := pass(t, message, k) + "changed\r\n"
	var all [][]string
	for _, m := range []string{m, strings.Replace(m, "cv=none", "cv=x", 1), "ARC-Seal: i=1\r\n" + m, strings.Replace(m, "ARC-Message", "X-Message", 1), "ARC-Seal: i=foo\r\n" + m} {
		chain := validated(t, z, m)
		fields, err := s.seal(t.Context(), strings.NewReader(m), chain, "one.example; arc=fail", k, time.Unix(12345, 0))
		if err != nil || chain.Status != Fail {
			t.Fatal(chain, err)
		}
		all = append(all, fields)
	}
	for _, fields := range all {
		if !slices.Equal(fields, all[0]) || !strings.Contains(fields[0], "i=2;") || !strings.Contains(fields[0], "cv=fail") || !alone(t, z, fields) {
			t.Errorf("%q", fields)
		}
	}
}

// Names may be of U-labels (RFC 8617, section 4.1.4). We write A-labels.
func TestIDNA(t *testing.T) {
	z := zone{}
	k := key(t, z, "xn--vv4b606a.example.com", "ed25519")
	z["xn--2j5b._domainkey.xn--vv4b606a.example.com"] = z["s1._domainkey.xn--vv4b606a.example.com"]
	u := Key{Domain: "시험.example.com", Selector: "예", Private: k.Private}
	m := strings.ReplaceAll(pass(t, message, k), "s=s1", "s=예")
	if chain := validated(t, z, m); chain.Status != Fail { // the signatures cover it
		t.Errorf("%+v", chain)
	}
	theirs := hop{key: u, results: "시험.example.com; spf=pass smtp.mailfrom=привіт@시험.example.com"}.on(t, message)
	mine := ours(t, z, Key{Domain: u.Domain, Selector: u.Selector, Private: u.Private}, "spf=pass smtp.mailfrom=привіт@시험.example.com", theirs, false)
	chain := validated(t, z, mine)
	if chain.Status != Pass || chain.Sealers()[0] != "xn--vv4b606a.example.com" || chain.Sets[1].Selector != "xn--2j5b" || !strings.Contains(mine, "s=xn--2j5b;") {
		t.Errorf("%+v\n%s", chain, mine)
	}
	if _, ok := chain.Trusted("시험.Example.com."); !ok {
		t.Error("not trusted by its other name")
	}
}

// The least an RSA key must have is up to who validates.
func TestKeyBits(t *testing.T) {
	z := zone{}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	z["s1._domainkey.example.com"] = "v=DKIM1; p=" + base64.StdEncoding.EncodeToString(der)
	k := Key{Domain: "example.com", Selector: "s1", Private: private}
	m := pass(t, message, k, k)
	weak := pass(t, pass(t, message, key(t, z, "weak.example", "rsa")), k) // the newest is strong
	for _, tt := range []struct {
		cfg     Config
		message string
		want    Status
	}{
		{Config{KeyBits: 2048}, m, Pass},
		{Config{KeyBits: 2049}, m, Fail},
		{Config{}, weak, Pass},
		{Config{KeyBits: 2048}, weak, Fail},
		{Config{Limits: Limits{KeyBits: 2047}}, m, Fail},
	} {
		tt.cfg.Resolver = z
		v, err := New(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if chain, err := v.Validate(t.Context(), strings.NewReader(tt.message)); err != nil || chain.Status != tt.want {
			t.Errorf("%+v: %+v, %v", tt.cfg, chain, err)
		}
	}
}

// Chain.Oldest points behind the newest change (RFC 8617, section 5.2, step 5).
func TestOldest(t *testing.T) {
	z := zone{}
	keys := []Key{key(t, z, "one.example", "ed25519"), key(t, z, "two.example", "ed25519"), key(t, z, "three.example", "ed25519")}
	for at := range 3 { // who changes the message
		m := message
		for i, k := range keys {
			if i == at {
				m += "second text\r\n"
			}
			m = pass(t, m, k)
		}
		want := at + 1
		if at == 0 {
			want = 0 // nobody had signed it as it was
		}
		if chain := validated(t, z, m); chain.Status != Pass || chain.Oldest != want {
			t.Errorf("changed by %d: %+v", at+1, chain)
		}
	}
}
