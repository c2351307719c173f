package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNormal(t *testing.T) {
	hexes := strings.Repeat("0a", 32)
	for _, tt := range []struct{ name, want string }{
		{"sha256:" + hexes, "sha256:" + hexes},
		{"sha256:0A:" + strings.Repeat("0A:", 30) + "0A", "sha256:" + hexes},
		{"sha256:" + hexes[2:], ""},
		{"sha256:" + strings.Repeat("0g", 32), ""},
		{"dns:MX.Example.org.", "dns:mx.example.org"},
		{"dns:*.example.org", ""},
		{"email:Ann@Example.org", "email:Ann@example.org"},
		{"email:@example.org", ""},
		{"email:ann", ""},
		{"uri:spiffe://example.org/mailer", "uri:spiffe://example.org/mailer"},
		{"uri:example.org", ""},
		{"subject:CN=mailer,O=Example", "subject:CN=mailer,O=Example"},
		{"subject:", ""},
		{"cn:mailer", ""},
		{"mailer", ""},
		{"", ""},
	} {
		got, err := Normal(tt.name)
		if tt.want == "" && err == nil || tt.want != "" && (got != tt.want || err != nil) {
			t.Errorf("%q: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

// FuzzNormal: a normal form is its own.
func FuzzNormal(f *testing.F) {
	for _, s := range []string{"dns:A.example.", "email:a@B", "uri:x://A/%zz", "subject:CN=a", "sha256:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Normal(s)
		if err != nil {
			return
		}
		if again, err := Normal(n); err != nil || again != n {
			t.Errorf("%q: %q becomes %q, %v", s, n, again, err)
		}
	})
}

func TestGroup(t *testing.T) {
	for id, want := range map[tls.CurveID]string{
		0: "", tls.X25519: "x25519", tls.CurveP256: "secp256r1", tls.CurveP384: "secp384r1", tls.CurveP521: "secp521r1",
		tls.X25519MLKEM768: "X25519MLKEM768", tls.SecP256r1MLKEM768: "SecP256r1MLKEM768", tls.SecP384r1MLKEM1024: "SecP384r1MLKEM1024",
	} {
		if got := Group(id); got != want {
			t.Errorf("%v: %q, want %q", uint16(id), got, want)
		}
	}
}

// issue makes a certificate, signed by parent or, without one, by itself.
func issue(t *testing.T, cn string, ca bool, usage x509.ExtKeyUsage, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: ca, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	if ca {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	signer, signerKey := template, any(key)
	if parent != nil {
		signer, signerKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestNames(t *testing.T) {
	root := issue(t, "root", true, x509.ExtKeyUsageAny, nil)
	between := issue(t, "between", true, x509.ExtKeyUsageAny, &root)
	client := issue(t, "ann", false, x509.ExtKeyUsageClientAuth, &between)
	server := issue(t, "mx", false, x509.ExtKeyUsageServerAuth, &between)
	stranger := issue(t, "ann", false, x509.ExtKeyUsageClientAuth, nil)
	pool := x509.NewCertPool()
	pool.AddCert(root.Leaf)
	fingerprint := func(c tls.Certificate) string { return Fingerprint(c.Leaf) }

	for _, tt := range []struct {
		name  string
		certs []tls.Certificate
		pool  *x509.CertPool
		want  []string
	}{
		{"none", nil, pool, nil},
		{"signed", []tls.Certificate{client, between}, pool, []string{fingerprint(client), "subject:CN=ann"}},
		{"signed, nobody to believe", []tls.Certificate{client, between}, nil, []string{fingerprint(client)}},
		{"the chain is not whole", []tls.Certificate{client}, pool, []string{fingerprint(client)}},
		{"not for clients", []tls.Certificate{server, between}, pool, []string{fingerprint(server)}},
		{"self-signed", []tls.Certificate{stranger}, pool, []string{fingerprint(stranger)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var state tls.ConnectionState
			for _, c := range tt.certs {
				state.PeerCertificates = append(state.PeerCertificates, c.Leaf)
			}
			if got := NamesIn(&state, tt.pool); !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if len(tt.want) > 0 {
				tt.want = tt.want[:1]
			}
			if got := Names(&state); !slices.Equal(got, tt.want) {
				t.Errorf("without verification: %q, want %q", got, tt.want)
			}
		})
	}

	state := tls.ConnectionState{
		Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, CurveID: tls.X25519MLKEM768,
		PeerCertificates: []*x509.Certificate{client.Leaf}, VerifiedChains: [][]*x509.Certificate{{client.Leaf}},
	}
	if got, want := ChannelOf(&state).String(), "TLS 1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768 client "+fingerprint(client)+" CN=ann"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := ChannelOf(&tls.ConnectionState{Version: tls.VersionTLS12, CipherSuite: 0x9c}).String(), "TLS 1.2 TLS_RSA_WITH_AES_128_GCM_SHA256"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
