package arc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// judged is a message and what is said of its chain.
type judged struct {
	name, message string
	want          Status
	why           string // begins or ends the reason
}

func judge(t *testing.T, z zone, all []judged) {
	t.Helper()
	for _, tt := range all {
		chain := validated(t, z, tt.message)
		if chain.Status != tt.want || !strings.Contains(chain.Reason, tt.why) || (tt.why == "") != (chain.Reason == "") {
			t.Errorf("%s: %s (%s), want %s (%s)", tt.name, chain.Status, chain.Reason, tt.want, tt.why)
		}
	}
}

// What instances may look like (RFC 8617, sections 3.9 and 4.2.1).
func TestInstances(t *testing.T) {
	z := zone{}
	k := key(t, z, "one.example", "ed25519")
	var all []judged
	for text, want := range map[string]Status{
		"1": Pass, "01": Pass, " 1 ": Pass, "\r\n 1": Pass, "(first) 1": Pass, "1 (a;b=c(d)\\))": Pass, "(;) 1 (;)": Pass,
		"0": Fail, "00": Fail, "001": Fail, "050": Fail, "50": Fail, "51": Fail, "99": Fail, "100": Fail, "9999": Fail,
		"18446744073709551617": Fail, "-1": Fail, "+1": Fail, "1.0": Fail, "0x1": Fail, "1e0": Fail, "1 2": Fail, "1,2": Fail,
		" ": Fail, "i": Fail, "\"1\"": Fail, "\xd9\xa1": Fail, "\xef\xbc\x91": Fail, "1\x00": Fail, "(1": Fail, "1 (": Fail, "1)": Fail, "(a) 1 2": Fail,
	} {
		m := judged{"i=" + text, hop{key: k, instance: text}.on(t, message), want, ""}
		if want == Fail {
			m.why = " "
		}
		all = append(all, m)
	}
	upper := strings.ReplaceAll(pass(t, message, k), " i=1", " I=1")
	all = append(all,
		judged{"I=1", upper, Fail, "instance"}, // %s"i"
		judged{"i=50", hop{key: k, instance: "50"}.on(t, message), Fail, "set 1 is not whole"},
		judged{"i=51", hop{key: k, instance: "51"}.on(t, message), Fail, "over 50 sets"},
	)
	judge(t, z, all)
}

// Fifty sets are a chain, which nobody may make longer; one more is none.
func TestFiftySets(t *testing.T) {
	z := zone{}
	k := key(t, z, "one.example", "ed25519")
	keys := slices.Repeat([]Key{k}, 50)
	m := pass(t, message, keys[:49]...)
	if m = sealed(t, z, m, nil, k); !strings.HasPrefix(m, "ARC-Seal: i=50;") {
		t.Fatal(m[:80])
	}
	chain := validated(t, z, m)
	if chain.Status != Pass || len(chain.Sets) != 50 {
		t.Fatalf("%s (%s) of %d sets", chain.Status, chain.Reason, len(chain.Sets))
	}
	s, err := NewSealer(SealConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(t.Context(), strings.NewReader(m), chain, "one.example; arc=pass", k); err != ErrSealed {
		t.Errorf("sealed once more: %v", err)
	}
	broken := validated(t, z, m+"more\r\n")
	if _, err := s.Seal(t.Context(), strings.NewReader(m+"more\r\n"), broken, "one.example; arc=fail", k); err != ErrSealed {
		t.Errorf("%s, and sealed once more: %v", broken.Status, err)
	}
	judge(t, z, []judged{{"51 sets", hop{key: k}.on(t, m), Fail, "over 50 sets"}})
}

// The structure of a chain (RFC 8617, section 5.2, steps 1 to 3), which a sender
// breaks whose signatures are all good.
func TestStructure(t *testing.T) {
	z := zone{}
	one, two := key(t, z, "one.example", "ed25519"), key(t, z, "two.example", "ed25519")
	first := pass(t, message, one)
	f := hop{key: two}.onto(t, first)
	second := f[2] + f[1] + f[0] + first
	other := hop{key: two, results: "two.example; dmarc=pass header.from=example.net"}.onto(t, first)
	all := []judged{
		{"two sets", second, Pass, ""},
		{"cv=pass first", hop{key: one, cv: "pass"}.on(t, message), Fail, "cv="},
		{"cv=none second", hop{key: two, cv: "none"}.on(t, first), Fail, "cv="},
		{"cv=fail first", hop{key: one, cv: "fail"}.on(t, message), Fail, "failed before"},
		{"cv=fail second", hop{key: two, cv: "fail"}.on(t, first), Fail, "failed before"},
		{"cv=pass above cv=fail", pass(t, hop{key: one, cv: "fail"}.on(t, message), two), Fail, "failed before"},
		{"cv=PASS", hop{key: two, cv: "PASS"}.on(t, first), Fail, "cv="},
		{"cv=", hop{key: two, cv: " "}.on(t, first), Fail, "cv="},
		{"no cv=", hop{key: two, cv: "pass", seal: "x-"}.on(t, first), Fail, "list of tags"},
		{"cv= twice", hop{key: one, cv: "none; cv=none"}.on(t, message), Fail, "more than one cv="},
		{"a gap", hop{key: two, instance: "3"}.on(t, first), Fail, "set 2 is not whole"},
		{"none is first", hop{key: two, instance: "2", cv: "pass"}.on(t, message), Fail, "set 1 is not whole"},
		{"the same instance again", hop{key: two, instance: "1", cv: "none"}.on(t, first), Fail, "a second"},
		{"the same instance in other digits", hop{key: two, instance: "01", cv: "none"}.on(t, first), Fail, "a second"},
		{"results of two instances", f[2] + f[1] + strings.Replace(f[0], "i=2", "i=3", 1) + first, Fail, "not whole"},
		{"results of another set", strings.Replace(second, f[0], other[0], 1), Fail, "seal 2: signature did not verify"},
		{"a seal of another set", strings.Replace(second, f[2], other[2], 1), Fail, "seal 2: signature did not verify"},
		{"a set twice", f[2] + f[1] + f[0] + second, Fail, "a second"},
	}
	for i, name := range fieldNames {
		all = append(all,
			judged{"without " + name, strings.Replace(second, f[i], "", 1), Fail, "set 2 is not whole"},
			judged{name + " twice", f[i] + second, Fail, "a second " + name},
			judged{name + " twice, far below", strings.Replace(second, "MIME-Version", f[i]+"MIME-Version", 1), Fail, "a second " + name},
			judged{"another " + name, other[i] + second, Fail, "a second " + name},
			judged{"another " + name + ", its name in capitals", strings.ToUpper(other[i][:len(name)]) + " \t" + other[i][len(name):] + second, Fail, "a second " + name},
			judged{name + " in capitals", strings.Replace(second, name+":", strings.ToUpper(name)+" :", 1), Pass, ""},
			judged{name + " of a third set alone", strings.Replace(f[i], "i=2", "i=3", 1) + second, Fail, "set 3 is not whole"},
		)
	}
	judge(t, z, all)
}

// Where the fields stand, and between which others, is no matter: instances order
// them.
func TestOrder(t *testing.T) {
	z := zone{}
	one, two := key(t, z, "one.example", "ed25519"), key(t, z, "two.example", "ed25519")
	a := hop{key: one}.onto(t, message)
	b := hop{key: two}.onto(t, a[2]+a[1]+a[0]+message)
	r := rand.New(rand.NewPCG(1, 2))
	fields := slices.Concat(a[:], b[:], []string{"Received: from a by b\r\n", "Received: from b by c\r\n", "X: y\r\n", "Arc-Filter: i=3\r\n"})
	header, body, _ := strings.Cut(message, "\r\n\r\n")
	for range 30 {
		r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		n := r.IntN(len(fields))
		m := strings.Join(fields[:n], "") + header + "\r\n" + strings.Join(fields[n:], "") + "\r\n" + body
		if chain := validated(t, z, m); chain.Status != Pass || chain.Oldest != 0 || chain.Sets[1].Domain != "two.example" {
			t.Fatalf("%+v\n%s", chain, m)
		}
	}
}

// What the tags of the two signatures may say (RFC 8617, sections 4.1.2 and 4.1.3).
func TestTags(t *testing.T) {
	z := zone{}
	k := key(t, z, "one.example", "ed25519")
	rsa := key(t, z, "rsa.example", "rsa")
	at := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }
	plain := pass(t, message, k)
	short := hop{key: k, message: "l=0; "}.on(t, message)
	judge(t, z, []judged{
		// All that a seal may say is i, a, b, d, s, t and cv; all else is unknown to it, and
		// ignored, but for h= (section 4.1.3).
		{"seal with h=", hop{key: k, seal: "h=from; "}.on(t, message), Fail, "an h= tag"},
		{"seal with an empty h=", hop{key: k, seal: "h=; "}.on(t, message), Fail, "an h= tag"},
		{"seal with H=", hop{key: k, seal: "H=from; "}.on(t, message), Pass, ""},
		{"seal that has expired", hop{key: k, seal: "t=10; x=11; "}.on(t, message), Pass, ""},
		{"seal with no time in x=", hop{key: k, seal: "x=never; "}.on(t, message), Pass, ""},
		{"seal with c= and bh=", hop{key: k, seal: "c=simple/simple; bh=; l=0; q=x; "}.on(t, message), Pass, ""},
		{"seal from the future", hop{key: k, seal: "t=" + at(1000*time.Hour) + "; "}.on(t, message), Pass, ""},
		{"seal from the end of time", hop{key: k, seal: "t=99999999999999999999; "}.on(t, message), Pass, ""},
		{"seal of no time", hop{key: k, seal: "t=now; "}.on(t, message), Fail, "t= is not a time"},
		{"seal of a negative time", hop{key: k, seal: "t=-1; "}.on(t, message), Fail, "t= is not a time"},
		{"seal with d= twice", hop{key: k, seal: "d=two.example; "}.on(t, message), Fail, "more than one d="},

		// A message signature is one of DKIM, but for v= and i= (section 4.1.2).
		{"signature with v=", hop{key: k, message: "v=9; "}.on(t, message), Pass, ""},
		{"signature that has expired", hop{key: k, message: "x=" + at(-time.Hour) + "; "}.on(t, message), Fail, "signature 1: signature expired"},
		{"signature that has just expired", hop{key: k, message: "x=" + at(-time.Minute) + "; "}.on(t, message), Pass, ""}, // clocks differ
		{"signature that will expire", hop{key: k, message: "t=" + at(-time.Minute) + "; x=" + at(time.Hour) + "; "}.on(t, message), Pass, ""},
		{"signature that expires before it was made", hop{key: k, message: "t=11; x=10; "}.on(t, message), Fail, "x= is not after t="},
		{"signature from the future", hop{key: k, message: "t=" + at(1000*time.Hour) + "; "}.on(t, message), Pass, ""}, // may be judged (RFC 6376, section 3.5), and proves nothing
		{"an earlier signature has expired", pass(t, hop{key: k, message: "x=11; "}.on(t, message), k), Pass, ""},
		{"simple/simple", hop{key: k, c: "simple/simple"}.on(t, message), Pass, ""},
		{"no c=", hop{key: k, c: "-"}.on(t, message), Pass, ""},
		{"relaxed", hop{key: k, c: "relaxed"}.on(t, message), Pass, ""},
		{"c=relaxed/simple/x", strings.Replace(plain, "c=relaxed/relaxed", "c=relaxed/relaxed/x", 1), Fail, "c="},

		// l= leaves nothing open: what it says is ignored, and the whole body counts.
		{"l=0, and a body", short, Pass, ""},
		{"l=0, and another body", short + "buy now\r\n", Fail, "body hash"},
		{"l= is no number", hop{key: k, message: "l=-1; "}.on(t, message), Fail, "l= is not a number"},

		{"h= with the seal", hop{key: k, h: "from:arc-seal"}.on(t, plain), Fail, "h= has the seal"},
		{"h= with the seal, in capitals", hop{key: k, h: "From:ARC-SEAL"}.on(t, message), Fail, "h= has the seal"},
		{"h= with others of ARC", hop{key: k, h: "from:arc-authentication-results:arc-message-signature"}.on(t, plain), Pass, ""}, // a sealer must not, and many do
		{"h= with Authentication-Results", hop{key: k, h: "from:authentication-results"}.on(t, message), Pass, ""},
		{"h= without From", hop{key: k, h: "to:subject"}.on(t, message), Fail, "From field not signed"},
		{"h= with From twice, and a second", "From: ceo@bank.example\r\n" + hop{key: k, h: "from:from"}.on(t, message), Fail, "did not verify"},

		{"seal and signature with rsa-sha1", hop{key: rsa, a: "rsa-sha1"}.on(t, message), Fail, "rsa-sha1 is no proof"},
		{"an algorithm nobody knows", hop{key: k, a: "ed448"}.on(t, message), Fail, "not supported"},
		{"an algorithm of another key", hop{key: k, a: "rsa-sha256"}.on(t, message), Fail, "inappropriate key algorithm"},
	})
	// The time that counts is that of receipt.
	v := validator(t, z)
	v.cfg.Skew = 0
	old := hop{key: k, message: "t=1234567890; x=1234567895; "}.on(t, message)
	for second, want := range map[int64]Status{1234567895: Pass, 1234567896: Fail} {
		run, err := v.engine.Start(strings.NewReader(old))
		if err != nil {
			t.Fatal(err)
		}
		finish := v.Begin(t.Context(), run, time.Unix(second, 0))
		if err := run.Body(t.Context()); err != nil {
			t.Fatal(err)
		}
		if chain := finish(); chain.Status != want {
			t.Errorf("received at %d: %+v", second, chain)
		}
		run.Close()
	}
}

// Who has no key of a domain seals nothing in its name.
func TestForeignKeys(t *testing.T) {
	z := zone{}
	list, evil := key(t, z, "lists.example", "ed25519"), key(t, z, "evil.example", "ed25519")
	results := "lists.example; dmarc=pass header.from=example.net"
	genuine := hop{key: list, results: results}.onto(t, message)
	phish := strings.Replace(message, "here  are the minutes", "pay  here", 1)
	forged := hop{key: list, by: evil, results: results}.onto(t, phish)
	own := hop{key: evil, results: results}.onto(t, phish)
	on := func(m string, sets ...string) string { return strings.Join(sets, "") + m }
	judge(t, z, []judged{
		{"genuine", on(message, genuine[:]...), Pass, ""},
		{"all in its name", on(phish, forged[:]...), Fail, "message signature 1: signature did not verify"},
		{"its name in the seal only", on(phish, own[0], own[1], forged[2]), Fail, "seal 1: signature did not verify"},
		{"its name in the signature only", on(phish, own[0], forged[1], own[2]), Fail, "message signature 1"},
		{"its set on another message", on(phish, genuine[:]...), Fail, "body hash"},
		{"its seal and results on another signature", on(phish, genuine[0], own[1], genuine[2]), Fail, "seal 1"},
		{"its results on another seal", on(phish, genuine[0], own[1], own[2]), Pass, ""}, // the same text, and its own word
		{"a key below its name", on(phish, own[0], own[1], strings.Replace(own[2], "d=evil.example; s=s1", "d=lists.example; s=s1._domainkey.evil.example", 1)), Fail, "no key"},
		{"d= with a dot behind", on(message, genuine[0], genuine[1], strings.Replace(genuine[2], "d=lists.example", "d=lists.example.", 1)), Fail, "d= is not a domain name"},
		{"d= of one label", on(message, genuine[0], genuine[1], strings.Replace(genuine[2], "d=lists.example", "d=example", 1)), Fail, "d= is not a domain name"},
		{"its key is away", strings.ReplaceAll(on(message, genuine[:]...), "s=s1", "s=s2"), Fail, "no key"},
		{"ARC fields in the body", message + on("", genuine[:]...), None, ""},
		{"ARC fields below the header section", strings.Replace(message, "\r\n\r\n", "\r\n\r\n"+on("", genuine[:]...)+"\r\n", 1), None, ""},
	})

	// A set of the list on top of which its thief has sealed another message is part of
	// a chain that validates, for only the newest signature is of the message as it is
	// (RFC 8617, section 5.2, step 5 A). Nothing of it is believed for the sake of the
	// list.
	stolen := on(message, genuine[:]...)
	stolen = strings.Replace(stolen, "here  are the minutes", "pay  here", 1)
	stolen = hop{key: evil}.on(t, stolen)
	chain := validated(t, z, stolen)
	if chain.Status != Pass || chain.Oldest != 2 || !slices.Equal(chain.Sealers(), []string{"lists.example", "evil.example"}) {
		t.Fatalf("%+v", chain)
	}
	if s, ok := chain.Trusted("lists.example"); ok {
		t.Errorf("believed %+v", s)
	}
	// Through the list once more: it sees that the chain validates, and what it found
	// itself is believed, not what was sealed before the thief.
	again := hop{key: list, results: "lists.example; arc=pass; dmarc=fail header.from=example.net"}.on(t, stolen)
	chain = validated(t, z, again)
	if s, ok := chain.Trusted("lists.example"); !ok || s.Instance != 3 {
		t.Errorf("%+v: believed %+v", chain, s)
	}
}

// Nobody can make a chain of signatures alone, whatever he does to the fields.
func TestSealsCoverSets(t *testing.T) {
	z := zone{}
	one, two := key(t, z, "one.example", "ed25519"), key(t, z, "two.example", "ed25519")
	m := pass(t, message, one, two)
	run, err := mailsig.New(mailsig.Limits{}, nil).Start(strings.NewReader(m))
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	for _, f := range run.Header.Fields {
		if kindOf(f.Name) < 0 {
			continue
		}
		raw := f.Raw
		for i := len(f.Name) + 1; i < len(raw)-2; i++ {
			if raw[i] == ' ' || raw[i] == '=' && i > len(raw)-5 { // folding, and padding, which nobody needs
				continue
			}
			changed := strings.Replace(m, raw, raw[:i]+string(raw[i]^1)+raw[i+1:], 1)
			if chain := validated(t, z, changed); chain.Status == Pass {
				t.Fatalf("%q for %q in %q: %+v", raw[i]^1, raw[i], raw, chain)
			}
		}
	}
}
