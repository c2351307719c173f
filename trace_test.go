package smtpguard_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/peer"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// TestChannel: what a handshake agreed on, and whose certificate the client
// has, are in the events and in the Received field.
func TestChannel(t *testing.T) {
	leaf, err := x509.ParseCertificate(testCertificate().Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	server := func() *tls.Config {
		return &tls.Config{
			Certificates: []tls.Certificate{testCertificate()}, CurvePreferences: []tls.CurveID{tls.CurveP384},
			ClientAuth: tls.RequestClientCert,
		}
	}
	client := clientTLS()
	client.Certificates = []tls.Certificate{testCertificate()}
	const agreed = "TLS 1.3 TLS_AES_128_GCM_SHA256 secp384r1"
	fingerprint := peer.Fingerprint(leaf)
	const mail = "C: MAIL FROM:<a@client.example>\nS: 250\nC: RCPT TO:<b@example.org>\nS: 250\n"
	const data = "C: DATA\nS: 354\nC:\nC: .\nS: 250\nC: QUIT\nS: 221\nS: EOF\n"

	for _, tt := range []struct {
		name     string
		implicit bool
		listener bool
		client   *tls.Config
		script   string
		want     []string // TLS of the connect, transaction and close events
		received string
	}{
		{"clear", false, true, client, "HELLO\n" + mail + data, []string{"", "", ""}, ""},
		{"STARTTLS", false, true, clientTLS(), "HELLO\nSTARTTLS\n" + mail + data, []string{"", agreed, agreed},
			"with ESMTPS (TLS 1.3) id * for <b@example.org> tls TLS_AES_128_GCM_SHA256 group secp384r1; "},
		{"STARTTLS in a transaction", false, true, client, "HELLO\n" + mail + "STARTTLS\nC: QUIT\nS: 221\nS: EOF\n",
			[]string{"", "", agreed + " client " + fingerprint}, ""},
		{"no Listener", false, false, client, "HELLO\nSTARTTLS\n" + mail + data, []string{agreed + " client " + fingerprint},
			"with ESMTPS (TLS 1.3) id * for <b@example.org> tls TLS_AES_128_GCM_SHA256 group secp384r1 (client " + fingerprint + "); "},
		{"implicit TLS", true, true, client, "HELLO\n" + mail + data,
			[]string{agreed + " client " + fingerprint, agreed + " client " + fingerprint, agreed + " client " + fingerprint},
			"with ESMTPS (TLS 1.3) id * for <b@example.org> tls TLS_AES_128_GCM_SHA256 group secp384r1 (client " + fingerprint + "); "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := bare(func(l *lab) { l.TLSConfig = server() })
			switch {
			case !tt.listener:
				l, _ = wrapped(t, l, smtpguard.Config{})
			case tt.implicit:
				l = guarded(t, l, smtpguard.Config{}, smtpguard.ListenConfig{TLS: server()})
			default:
				l = guarded(t, l, smtpguard.Config{}, smtpguard.ListenConfig{})
			}
			target := l.target()
			target.TLS, target.ImplicitTLS = tt.client, tt.implicit
			smtpguardtest.Play(t, target, tt.script)
			got := func() (tls []string) {
				l.events.mu.Lock()
				defer l.events.mu.Unlock()
				for _, ev := range l.events.all {
					switch ev.Kind {
					case smtpguard.KindConnect, smtpguard.KindTransaction, smtpguard.KindClose:
						tls = append(tls, ev.TLS)
					}
				}
				return tls
			}
			waitFor(t, func() bool { return len(got()) >= len(tt.want) })
			if got := got(); strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("events say %q, want %q", got, tt.want)
			}
			for _, m := range l.backend.messages {
				field := strings.ReplaceAll(m.body, "\r\n\t", " ")
				before, after, _ := strings.Cut(tt.received, "*")
				if !strings.Contains(field, before) || !strings.Contains(field, after) || tt.received == "" && strings.Contains(field, "tls ") {
					t.Errorf("Received: %q, want %q in it", field, tt.received)
				}
			}
		})
	}
}
