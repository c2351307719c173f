package tlsconf

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/internal/peer"
)

// Finding is what a connection negotiated, held against a level. Its JSON form
// is stable: fields may be added, none is renamed. Names and subjects are the
// other side's own text.
type Finding struct {
	Level       Level        `json:"level"`
	Version     string       `json:"version"`         // "TLS 1.3"
	Suite       string       `json:"suite"`           // as registered
	Group       string       `json:"group,omitempty"` // as registered
	PostQuantum bool         `json:"post_quantum"`    // the group is a hybrid one
	ALPN        string       `json:"alpn,omitempty"`
	ServerName  string       `json:"server_name,omitempty"` // that the client asked for
	Resumed     bool         `json:"resumed,omitempty"`
	Peer        *Certificate `json:"peer,omitempty"` // the other side's
	Problems    []string     `json:"problems"`       // what is below the level; empty where nothing is
}

// Certificate is one of the other side.
type Certificate struct {
	Subject     string    `json:"subject,omitempty"`
	Names       []string  `json:"names,omitempty"`
	Issuer      string    `json:"issuer,omitempty"`
	NotAfter    time.Time `json:"not_after"`
	Key         string    `json:"key"` // "ECDSA P-256"
	Fingerprint string    `json:"fingerprint"`
	Verified    bool      `json:"verified"`
}

// Report holds what a connection negotiated, on either side of it, against level.
func Report(level Level, state tls.ConnectionState) Finding {
	return report(level, &state, time.Now())
}

func report(level Level, state *tls.ConnectionState, now time.Time) Finding {
	agreed := peer.ChannelOf(state)
	f := Finding{
		Level: level, Version: agreed.Version, Suite: agreed.Suite, Group: agreed.Group,
		ALPN: state.NegotiatedProtocol, ServerName: state.ServerName, Resumed: state.DidResume,
		Problems: []string{},
	}
	switch state.CurveID {
	case tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024:
		f.PostQuantum = true
	}
	problem := func(format string, args ...any) { f.Problems = append(f.Problems, fmt.Sprintf(format, args...)) }
	b, ok := level.bounds()
	if !ok {
		problem("%d is no level", int(level))
		return f
	}
	if state.Version < b.version {
		problem("%s is older than %s", f.Version, tls.VersionName(b.version))
	}
	if state.Version < tls.VersionTLS13 && !slices.Contains(b.suites, state.CipherSuite) {
		problem("the suite %s is none of the level's", f.Suite)
	}
	if f.Group != "" && !slices.Contains(b.groups, state.CurveID) {
		problem("the group %s is none of the level's", f.Group)
	}
	if len(state.PeerCertificates) > 0 {
		leaf := state.PeerCertificates[0]
		f.Peer = &Certificate{
			Subject: leaf.Subject.String(), Names: namesOf(leaf), Issuer: leaf.Issuer.String(), NotAfter: leaf.NotAfter.UTC(),
			Key: keyWords(leaf), Fingerprint: peer.Fingerprint(leaf), Verified: len(state.VerifiedChains) > 0,
		}
		if reason := ending(leaf, 0, now); reason != "" {
			problem("%s", reason)
		}
		if now.Before(leaf.NotBefore) {
			problem("certificate is valid only from %s", leaf.NotBefore.UTC().Format(time.RFC3339))
		}
		if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
			problem("the certificate's key has %d bits, fewer than %d", key.N.BitLen(), minRSA)
		}
	}
	return f
}

func keyWords(leaf *x509.Certificate) string {
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return leaf.PublicKeyAlgorithm.String()
}

// String is f in words, for an operator, on several lines.
func (f Finding) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	yes := func(v bool) string {
		if v {
			return "yes"
		}
		return "no"
	}
	line("%s", strings.TrimSpace(f.Version+" "+f.Suite+" "+f.Group))
	line("post-quantum: %s", yes(f.PostQuantum))
	if f.ServerName != "" {
		line("server name: %q", f.ServerName)
	}
	if f.ALPN != "" {
		line("ALPN: %q", f.ALPN)
	}
	if f.Resumed {
		line("resumed")
	}
	if c := f.Peer; c != nil {
		line("certificate: %s, %s, until %s, verified: %s", c.Fingerprint, c.Key, c.NotAfter.Format(time.RFC3339), yes(c.Verified))
		line("  for %q, subject %q", c.Names, c.Subject)
		line("  by %q", c.Issuer)
	}
	if len(f.Problems) == 0 {
		line("nothing below the level %v", f.Level)
	}
	for _, p := range f.Problems {
		line("below the level %v: %s", f.Level, p)
	}
	return b.String()
}
