package tlsconf

import (
	"crypto/tls"
	"fmt"
	"slices"
)

// Level is how much is asked of the other side. The zero Level is Submission.
//
//	             Submission          MX                      Strict
//	versions     1.2, 1.3            1.2, 1.3                1.3
//	TLS 1.2      ECDHE with AES-GCM  the same, and ECDHE     none
//	             or ChaCha20         with AES-CBC and SHA-1
//	groups       X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024,
//	             x25519, secp256r1, secp384r1; MX: secp521r1 too
//	tickets      yes                 yes                     no
//
// None of them has anything older than TLS 1.2 (RFC 8996, RFC 8997), key
// exchange without forward secrecy, compression or renegotiation. The hybrid
// groups, the first three, keep what is recorded today from the quantum
// computers of tomorrow; who does not want them edits CurvePreferences.
type Level int

const (
	// Submission is for mail programs and their users' passwords: RFC 8314, the
	// "recommended" suites of RFC 9325, section 4.2, and Mozilla's "intermediate".
	//
	// It loses what has no AEAD suites: Windows 8.1 and older with an RSA
	// certificate, OS X 10.10, Android 4.3, OpenSSL 1.0.0, Java 7 and what is older.
	Submission Level = iota

	// MX is opportunistic: for mail from anybody, where the alternative is clear
	// text or no mail at all, so that old suites with forward secrecy do less harm
	// than none (RFC 9325, section 5.2; RFC 7435).
	//
	// It loses what has no TLS 1.2 or no elliptic curves: Windows Server 2008,
	// Exchange 2007, OpenSSL 1.0.0 and what is older.
	MX

	// Strict is for machines of one's own: Mozilla's "modern".
	//
	// It loses Windows 10, Windows Server 2019, OpenSSL 1.1.0, Java 8 before its
	// update 261, Android 9, macOS 10.13 and what is older.
	Strict
)

var levelNames = [...]string{"submission", "mx", "strict"}

// String returns the level's name in lower case.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return "invalid"
	}
	return levelNames[l]
}

// MarshalText makes a level a word in JSON and YAML.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what String writes.
func (l *Level) UnmarshalText(text []byte) error {
	i := slices.Index(levelNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("tlsconf: %q is none of the levels submission, mx, strict", text)
	}
	*l = Level(i)
	return nil
}

// bounds are what a level allows.
type bounds struct {
	version uint16        // the oldest
	suites  []uint16      // of TLS 1.2; all of TLS 1.3 are good, and not to be chosen from
	groups  []tls.CurveID // crypto/tls orders them itself
	tickets bool
}

// bounds returns what l allows; ok is false where l is no level.
func (l Level) bounds() (b bounds, ok bool) {
	b = bounds{
		version: tls.VersionTLS12,
		suites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		groups: []tls.CurveID{
			tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
			tls.X25519, tls.CurveP256, tls.CurveP384,
		},
		tickets: true,
	}
	switch l {
	case Submission:
	case MX:
		b.suites = append(b.suites,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA)
		b.groups = append(b.groups, tls.CurveP521)
	case Strict:
		b.version, b.suites = tls.VersionTLS13, nil
		b.tickets = false // every connection proves anew who it is
	default:
		return b, false
	}
	return b, true
}

// config is what servers and clients of the level have in common.
func (l Level) config() (*tls.Config, error) {
	b, ok := l.bounds()
	if !ok {
		return nil, fmt.Errorf("tlsconf: %d is no Level", int(l))
	}
	return &tls.Config{
		MinVersion:             b.version,
		CipherSuites:           b.suites,
		CurvePreferences:       b.groups,
		SessionTicketsDisabled: !b.tickets,
		Renegotiation:          tls.RenegotiateNever, // a server of crypto/tls never does
	}, nil
}
