package tlsconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// Address is a server to look at.
type Address struct {
	Address    string // host:port
	Protocol   Protocol
	StartTLS   bool           // it begins in clear text: SMTP, IMAP and POP3
	ServerName string         // "" means the host of Address
	RootCAs    *x509.CertPool // nil means the system's
}

const (
	maxProbe     = 30 * time.Second
	maxProbeText = 64 << 10 // octets before TLS
)

// ReportAddress connects to a server and holds what it negotiates against level.
// It offers all that crypto/tls has, old and weak things too, and takes any
// certificate, so that there is something to report where a client of the level
// would only fail: what is wrong is among the Problems. It sends nothing over
// the connection. An error means that there was nothing to report.
func ReportAddress(ctx context.Context, level Level, a Address) (Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, maxProbe)
	defer cancel()
	host, _, err := net.SplitHostPort(a.Address)
	if err != nil {
		return Finding{}, fmt.Errorf("tlsconf: Address.Address: %w", err)
	}
	if a.ServerName == "" {
		a.ServerName = host
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", a.Address)
	if err != nil {
		return Finding{}, fmt.Errorf("tlsconf: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if a.StartTLS {
		if err := startTLS(conn, a.Protocol); err != nil {
			return Finding{}, fmt.Errorf("tlsconf: %s: before TLS: %w", a.Address, err)
		}
	}
	cfg := &tls.Config{
		ServerName: a.ServerName, InsecureSkipVerify: true,
		MinVersion: tls.VersionTLS10, // to see it, not to use it
	}
	for _, suites := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range suites {
			cfg.CipherSuites = append(cfg.CipherSuites, s.ID)
		}
	}
	tc := tls.Client(conn, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return Finding{}, fmt.Errorf("tlsconf: %s: %w", a.Address, err)
	}
	state := tc.ConnectionState()
	chains, err := verify(&state, a.RootCAs)
	state.VerifiedChains = chains
	f := Report(level, state)
	if err != nil {
		f.Problems = append(f.Problems, "certificate: "+err.Error())
	}
	return f, nil
}

// verify does what the handshake was told not to.
func verify(state *tls.ConnectionState, roots *x509.CertPool) ([][]*x509.Certificate, error) {
	opts := x509.VerifyOptions{Roots: roots, DNSName: state.ServerName, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	return state.PeerCertificates[0].Verify(opts)
}

// startTLS has the server at the other end of conn begin TLS.
func startTLS(conn io.ReadWriter, p Protocol) error {
	r := textproto.NewConn(struct {
		io.Reader
		io.Writer
		io.Closer
	}{io.LimitReader(conn, maxProbeText), conn, nil})
	switch p {
	case SMTP:
		if _, _, err := r.ReadResponse(220); err != nil {
			return err
		}
		if err := r.PrintfLine("EHLO localhost"); err != nil {
			return err
		}
		if _, _, err := r.ReadResponse(250); err != nil {
			return err
		}
		if err := r.PrintfLine("STARTTLS"); err != nil {
			return err
		}
		_, _, err := r.ReadResponse(220)
		return err
	case IMAP:
		return upgrade(r, "* ", "a STARTTLS", "a ")
	case POP3:
		return upgrade(r, "", "STLS", "")
	}
	return fmt.Errorf("%v does not begin in clear text", p)
}

// upgrade sends command after a greeting, and wants OK for an answer; lines that
// begin otherwise than both do are passed over.
func upgrade(r *textproto.Conn, greeting, command, answer string) error {
	wait := func(begin string) error {
		for {
			line, err := r.ReadLine()
			if err != nil {
				return err
			}
			word, ok := strings.CutPrefix(line, begin)
			if !ok {
				continue
			}
			if word = strings.TrimPrefix(word, "+"); !strings.HasPrefix(word, "OK") {
				return errors.New("refused: " + fmt.Sprintf("%q", line))
			}
			return nil
		}
	}
	if err := wait(greeting); err != nil {
		return err
	}
	if err := r.PrintfLine("%s", command); err != nil {
		return err
	}
	return wait(answer)
}
