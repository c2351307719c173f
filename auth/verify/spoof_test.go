package verify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/verify"
	"github.com/smtpguard/smtpguard/internal/require"
)

// realm is DNS in which all that is not the victims' is the attacker's: his key,
// anybody may send, and who fails is to be rejected.
type realm struct {
	mu  sync.Mutex
	odd []string // names that no resolver should see
}

var ordinaryName = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*$`)

func (r *realm) LookupTXT(_ context.Context, name string) ([]string, error) {
	name = strings.TrimSuffix(name, ".")
	if !ordinaryName.MatchString(name) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.odd = append(r.odd, name)
	}
	text := ""
	switch {
	case name == "s1._domainkey.legit.com":
		text = record("legit.com")
	case name == "_dmarc.legit.com":
		text = "v=DMARC1; p=reject"
	case name == "_dmarc.lax.org":
		text = "v=DMARC1; p=none"
	case isVictim(name) && strings.Count(name, ".") == 1:
		text = "v=spf1 ip4:198.51.100.1 -all"
	case isVictim(name), strings.HasSuffix(name, "_dmarc.com"), !strings.Contains(name, "."):
	case strings.Contains(name, "._domainkey."):
		text = record("attack.com")
	case strings.HasPrefix(name, "_dmarc."):
		text = "v=DMARC1; p=reject"
	default:
		text = "v=spf1 +all"
	}
	if text == "" {
		return nil, notFound(name)
	}
	return []string{text}, nil
}

func record(domain string) string {
	text, err := dkim.Record(privateKey(domain).Public())
	if err != nil {
		panic(err)
	}
	return text
}

func (*realm) LookupMX(_ context.Context, name string) ([]*net.MX, error) { return nil, notFound(name) }
func (*realm) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return nil, notFound(addr)
}
func (*realm) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, notFound(host)
}

// proving is where attacks are tried: servers that enforce, and that let everything
// through so that one sees what is made of it.
type proving struct {
	realm realm
	sites []*proof

	taken, passed, genuine, signed int
}

// proof is one of the servers, and a session with it.
type proof struct {
	*site
	name   string
	nc     net.Conn
	client *textproto.Conn
}

const anyOctets = "monitoring any octets"

func newProving(t testing.TB) *proving {
	p := new(proving)
	patient := smtpguard.Limits{Errors: 1 << 30, Idle: 1 << 30, Slow: -1}
	monitor := verify.Policy{Monitor: true}
	for _, s := range []struct {
		name   string
		octets smtpguard.OctetPolicy
		cfg    verify.Config
	}{
		{"enforcing", smtpguard.OctetsReject, verify.Config{}},
		{"monitoring", smtpguard.OctetsNormalize, verify.Config{Policy: monitor, ReceivedSPF: true}},
		{anyOctets, smtpguard.OctetsAllow, verify.Config{Policy: monitor, Keep: []string{"*"}, DMARC: dmarc.Config{Discovery: dmarc.PublicSuffix}}},
	} {
		s.cfg.Resolver = &p.realm
		p.sites = append(p.sites, &proof{site: newSiteWith(t, smtpguard.Config{Octets: s.octets, Limits: patient}, s.cfg), name: s.name})
	}
	t.Cleanup(func() {
		for _, s := range p.sites {
			s.hangUp()
		}
	})
	return p
}

func (s *proof) hangUp() {
	if s.nc != nil {
		s.nc.Close()
	}
	s.nc, s.client = nil, nil
}

// say sends a line, and returns the code of the reply; 0 when the server has hung
// up.
func (s *proof) say(text string) int {
	if _, err := s.nc.Write([]byte(text)); err != nil {
		s.hangUp()
		return 0
	}
	code, _, err := s.client.ReadResponse(0)
	if _, reply := err.(*textproto.Error); err != nil && !reply {
		s.hangUp()
		return 0
	}
	return code
}

// deliver plays a session, and returns what the server took, if it did.
func (s *proof) deliver(t testing.TB, a *attack) (message string, r verify.Result, ok bool) {
	t.Helper()
	s.mu.Lock()
	s.got, s.junk, s.results, s.events = nil, nil, nil, nil
	s.mu.Unlock()
	for range 3 {
		if s.nc == nil {
			nc, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			s.nc = nc
		}
		greeted := s.client != nil
		if !greeted {
			s.client = textproto.NewConn(s.nc)
		}
		if s.nc.SetDeadline(time.Now().Add(time.Minute)) != nil || !greeted && s.say("") != 220 {
			t.Fatalf("%s: no banner", s.name)
		}
		if s.say("EHLO "+a.helo+"\r\n") != 250 && s.nc != nil {
			s.say("EHLO attack.com\r\n")
		}
		if s.nc != nil && s.say("MAIL FROM:"+a.mail+"\r\n") != 250 && s.nc != nil {
			s.say("MAIL FROM:<any@attack.com>\r\n")
		}
		if s.nc == nil || s.say("RCPT TO:<bob@example.org>\r\n") != 250 || s.say("DATA\r\n") != 354 {
			s.hangUp() // after too many errors, say
			continue
		}
		content := strings.ReplaceAll(a.content, "\r\n.", "\r\n..")
		if strings.HasPrefix(content, ".") {
			content = "." + content
		}
		code := s.say(content + ".\r\n")
		s.mu.Lock()
		defer s.mu.Unlock()
		if code == 0 || (code == 250) != (len(s.got) == 1) {
			t.Fatalf("%s: %d, and took %d of %q", s.name, code, len(s.got), a.content)
		}
		if code != 250 {
			return "", r, false
		}
		return s.got[0], s.results[0], true
	}
	t.Fatalf("%s: no session for %+v", s.name, a)
	return
}

// try has every server take an attack, and judges what came of it.
func (p *proving) try(t testing.TB, a *attack) {
	t.Helper()
	for _, s := range p.sites {
		message, r, ok := s.deliver(t, a)
		p.realm.mu.Lock()
		if p.realm.odd != nil {
			t.Errorf("%s: %+v\nDNS is asked for %q", s.name, a, p.realm.odd)
		}
		p.realm.odd = nil
		p.realm.mu.Unlock()
		if ok {
			p.taken++
			p.judge(t, s, a, message, &r)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// judge asserts that nobody who reads message takes it for a victim's. What passes
// is of the author that everybody sees.
func (p *proving) judge(t testing.TB, s *proof, a *attack, message string, r *verify.Result) {
	t.Helper()
	bad := func(format string, args ...any) {
		t.Helper()
		if t.Failed() {
			return // once is enough
		}
		t.Errorf("%s: %s\nEHLO %s, MAIL FROM:%s\n%q\n%s", s.name, fmt.Sprintf(format, args...), a.helo, a.mail, a.content, r)
	}
	proven, passed := r.Author()
	if passed {
		p.passed++
		if isVictim(proven) && a.genuine != proven {
			bad("passes as %s", proven)
		}
		if a.genuine == proven {
			p.genuine++
		}
		for name, reader := range shown(message) {
			if s.name == anyOctets && strings.HasPrefix(reader, "RFC 5322") {
				continue // bare LF is let through to who reads it as a line end
			}
			if name != proven {
				bad("passes as %s, and is shown as %s by: %s", proven, name, reader)
			}
		}
	}
	real, signed := map[string]int{}, map[string]bool{}
	for i := range r.DKIM.Signatures {
		d := &r.DKIM.Signatures[i]
		signed[d.Domain] = true
		if d.Result == dkim.Pass {
			real["dkim"]++
			p.signed++
			if isVictim(d.Domain) && d.Domain != a.genuine {
				bad("dkim=pass of %s", d.Domain)
			}
		}
	}
	if r.SPF.Result == "pass" {
		real["spf"]++
		if isVictim(r.SPF.Domain) {
			bad("spf=pass of %s", r.SPF.Domain)
		}
	}
	if passed {
		real["dmarc"]++
	}
	if r.ARC.Status == "pass" {
		real["arc"]++
	}
	for _, reader := range sectionReaders {
		if s.name == anyOctets && !strings.Contains(reader.name, "goes on") {
			continue // who lets bare CR, LF and NUL through says that nobody behind him reads them otherwise
		}
		ours := 0
		for _, f := range reader.read(message) {
			if f[0] != "authentication-results" || !strings.Contains(strings.ToLower(before(f[1], ";")), "mx.example.org") {
				continue
			}
			if ours++; ours > 1 {
				bad("%s: a second result in our name: %q", reader.name, f[1])
				continue
			}
			if _, err := authres.Parse(f[1]); err != nil {
				bad("%s: %v: %q", reader.name, err, f[1])
			}
			for _, c := range claimed(f[1]) {
				for method, n := range c.pass {
					if n > real[method] {
						bad("%s: %s passes %d times instead of %d in %q", reader.name, method, n, real[method], f[1])
					}
				}
				for _, name := range c.authors {
					if name != r.DMARC.AuthorDomain {
						bad("%s: author is %s in %q", reader.name, name, f[1])
					}
				}
				for _, name := range c.signers {
					if !signed[name] {
						bad("%s: %s signed in %q", reader.name, name, f[1])
					}
				}
				if c.envelope > 1 {
					bad("%s: %d senders in %q", reader.name, c.envelope, f[1])
				}
			}
		}
		if ours == 0 && reader.name != "net/mail" {
			bad("%s: no result of ours", reader.name)
		}
	}
}

func before(s, sep string) string { s, _, _ = strings.Cut(s, sep); return s }

// espoofer are the cases of the suite, with its victim as ours.
func espoofer(t testing.TB) (all []*attack) {
	t.Helper()
	text, err := os.ReadFile(require.Suite(t, "spoofing", "espoofer", "normalized.json"))
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Cases []struct {
			ID, EML, Helo string
			MailFrom      string `json:"mailfrom_raw"`
		}
	}
	if err := json.Unmarshal(text, &suite); err != nil {
		t.Fatal(err)
	}
	ours := strings.NewReplacer("legitimate.com", "legit.com", "example.com", "legit.com")
	for _, c := range suite.Cases {
		content, err := os.ReadFile(require.Suite(t, "spoofing", "espoofer", c.EML))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &attack{helo: ours.Replace(c.Helo), mail: ours.Replace(c.MailFrom), content: ours.Replace(strings.TrimSuffix(string(content), "\r\n")) + "\r\n"})
	}
	return all
}

// Of espoofer's attacks and of thousands that are like them none makes mail pass for
// a victim's, to whatever program reads it.
func TestNeighboursOfSpoofs(t *testing.T) {
	p := newProving(t)
	for _, a := range espoofer(t) {
		p.try(t, a)
	}
	// The control: what is no attack passes.
	for _, from := range []string{"From: any@attack.com\r\n", "From: Ann <any@attack.com>\r\n", "From: \"Ann\" <any@sub.attack.com>\r\n"} {
		before := p.passed
		p.try(t, &attack{helo: "attack.com", mail: "<any@attack.com>", content: from + "\r\nhello\r\n"})
		if p.passed != before+len(p.sites) {
			t.Fatalf("%q passes %d times", from, p.passed-before)
		}
	}
	random := rand.New(rand.NewPCG(6376, 7208))
	octets := make([]byte, 96)
	for range 2000 {
		for i := range octets {
			octets[i] = byte(random.Uint32())
		}
		p.try(t, (&choice{octets}).attack())
	}
	if p.taken < 3000 || p.passed < 150 || p.genuine < 20 || p.signed < 60 {
		t.Errorf("the attacks are no test: %d taken, %d pass, %d of them the victim's own, %d signatures", p.taken, p.passed, p.genuine, p.signed)
	}
}

// At rest nobody puts an empty line where a header section ends that has none, and so
// there are programs to which it goes on.
func TestAtRest(t *testing.T) {
	v, err := verify.New(verify.Config{ID: "mx.example.org", Resolver: new(realm)})
	if err != nil {
		t.Fatal(err)
	}
	from := verify.Envelope{Client: netip.MustParseAddr("192.0.2.66"), Hello: "attack.com", From: "any@attack.com"}
	for message, want := range map[string]dmarc.Result{
		"From: any@attack.com\r\n\r\nFrom: ceo@legit.com\r\n":                  dmarc.Pass,
		"From: any@attack.com\r\n\r\nx\r\nFrom: ceo@legit.com\r\n\r\n":         dmarc.Pass,
		"From: any@attack.com\r\nx\r\nhello\r\n":                               dmarc.Pass,
		"From: any@attack.com\r\nx\r\n\r\nFrom: ceo@legit.com\r\n":             dmarc.Pass,
		"From: any@attack.com\r\nx\r\nFrom: ceo@legit.com\r\n\r\nhello\r\n":    dmarc.PermError,
		"From: any@attack.com\r\n: x\r\nfrom : ceo@legit.com\r\n\r\nhello\r\n": dmarc.PermError,
		"x\r\nFrom: any@attack.com\r\n\r\nhello\r\n":                           dmarc.PermError,
	} {
		r, err := v.Verify(t.Context(), from, strings.NewReader(message))
		if err != nil || r.DMARC.Result != want {
			t.Errorf("%q: %s, %v", message, &r, err)
		}
	}
}

func FuzzSpoofs(f *testing.F) {
	p := newProving(f)
	for i := range 50 {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		octets := make([]byte, 64)
		for i := range octets {
			octets[i] = byte(random.Uint32())
		}
		f.Add(octets)
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		p.try(t, (&choice{octets[:min(len(octets), 1000)]}).attack())
	})
}
