package bench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	blitiri "blitiri.com.ar/go/spf"
	msgauth "github.com/emersion/go-msgauth/dmarc"
	"github.com/emersion/go-smtp"
	"golang.org/x/net/publicsuffix"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/verify"
	"github.com/smtpguard/smtpguard/internal/require"
)

// BenchmarkVerifyServer is what SPF, one DKIM signature and DMARC add to a go-smtp
// server on loopback, in processor time of the server alone: Postfix's smtp-source
// delivers, ten sessions at once and a new one a message. What DNS has is in a
// cache. The limit is the bare server with SHA-256 over the message and the key
// operation. Turns are side by side, and their medians count.
func BenchmarkVerifyServer(b *testing.B) {
	source := require.Program(b, "smtp-source")
	in := newInbox(b)
	for _, size := range sizes {
		message := in.signed(letter(size.octets), in.keys[0])
		file := filepath.Join(b.TempDir(), "message")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(message, "\r\n", "\n")), 0o600); err != nil {
			b.Fatal(err)
		}
		deliver := func(b *testing.B, to net.Addr, messages int) {
			out, err := exec.Command(source, "-s", strconv.Itoa(min(messages, 10)), "-m", strconv.Itoa(messages), "-M", "mail.example.com",
				"-f", "ann@example.com", "-t", "bob@example.org", "-F", file, to.String()).CombinedOutput()
			if err != nil || len(out) > 0 {
				b.Fatal(err, string(out))
			}
		}
		var all []net.Addr
		for _, who := range []struct {
			name  string
			serve func(ln net.Listener)
		}{
			{"go-smtp", func(ln net.Listener) { go plain().Serve(ln) }},
			{"smtpguard", func(ln net.Listener) {
				v, err := verify.New(verify.Config{ID: "mx.example.org", Resolver: in.dns})
				if err != nil {
					b.Fatal(err)
				}
				guard(b, ln, smtpguard.ListenConfig{}, v.Check())
			}},
			{"go-msgauth", func(ln net.Listener) {
				s := plain()
				s.Backend = obvious{in: in}
				go s.Serve(ln)
			}},
			{"limit", func(ln net.Listener) {
				s := plain()
				s.Backend = hashing{bare: limitVerify(b, []byte(message), in.keys[0])}
				go s.Serve(ln)
			}},
		} {
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { ln.Close() })
			who.serve(ln)
			all = append(all, ln.Addr())
			deliver(b, ln.Addr(), 1)
			b.Run(size.name+"/"+who.name, func(b *testing.B) {
				_, cpu := measure(func() { deliver(b, ln.Addr(), b.N) })
				b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
			})
		}
		b.Run(size.name+"-turns/smtpguard", func(b *testing.B) {
			used := make([][]float64, len(all))
			for turn := range max(b.N, 1) {
				for i := range all {
					i = (i + turn) % len(all)
					runtime.GC() // of what the one before has left
					_, cpu := measure(func() { deliver(b, all[i], 1000) })
					used[i] = append(used[i], cpu.Seconds())
				}
			}
			for i, unit := range []string{"", "%-added", "%-added-by-go-msgauth", "%-added-by-limit"} {
				if i > 0 {
					b.ReportMetric(100*(median(used[i])/median(used[0])-1), unit)
				}
			}
		})
	}
}

// obvious is a backend that does SPF by blitiri's package and DKIM and DMARC by
// go-msgauth with the Public Suffix List, as a server is made without us.
type obvious struct {
	discard
	in *inbox
}

func (o obvious) NewSession(*smtp.Conn) (smtp.Session, error) { return o, nil }

func (o obvious) Mail(from string, _ *smtp.MailOptions) error {
	result, err := blitiri.CheckHostWithSender(net.IPv4(127, 0, 0, 1), "mail.example.com", from, blitiri.WithResolver(o.in.dns))
	if result != blitiri.Pass {
		return fmt.Errorf("spf=%s: %w", result, err)
	}
	return nil
}

func (o obvious) Data(r io.Reader) error {
	message, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	signer, err := o.in.dkim(bytes.NewReader(message))
	if err != nil {
		return err
	}
	parsed, err := netmail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		return err
	}
	from, err := netmail.ParseAddress(parsed.Header.Get("From"))
	if err != nil {
		return err
	}
	author := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	if _, err := msgauth.LookupWithOptions(author, &msgauth.LookupOptions{LookupTXT: o.in.lookupTXT}); err != nil {
		return err
	}
	a, err := publicsuffix.EffectiveTLDPlusOne(author)
	if err != nil {
		return err
	}
	if s, err := publicsuffix.EffectiveTLDPlusOne(signer); err != nil || s != a {
		return fmt.Errorf("%s is not aligned: %w", signer, err)
	}
	return nil
}

// hashing is a backend that does what cannot be done without.
type hashing struct {
	discard
	bare func()
}

func (h hashing) NewSession(*smtp.Conn) (smtp.Session, error) { return h, nil }

func (h hashing) Data(r io.Reader) error {
	h.bare()
	return h.discard.Data(r)
}
