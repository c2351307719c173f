// Package tlsconf answers: is the wire safe?
//
//	files, err := tlsconf.NewFiles(tlsconf.FilesConfig{
//		Pairs: []tlsconf.Pair{{Certificate: "mx.pem", Key: "mx.key"}},
//	})
//	server.TLSConfig, err = tlsconf.Server(tlsconf.MX, tlsconf.ServerConfig{Certificates: files})
//	must, err := tlsconf.RequireTLS(tlsconf.Requirement{To: []string{"ward@hospital.example"}})
//	guard, err := smtpguard.New(smtpguard.Config{}, must)
//
// [Server] and [Client] make a hardened *tls.Config of a [Level], for SMTP,
// IMAP, POP3 and HTTPS. [NewFiles] keeps certificates of files, reloaded on
// change; [NewManaged] makes those of an ACME client (autocert, certmagic) fit
// for mail. Both watch when certificates end. [RequireTLS] is the check that
// wants TLS per stage, [NewIdentities] knows clients by their certificates,
// [NewListener] lets IMAP and POP3 clients in by TLS only, and [Report] says
// what a connection negotiated, held against a level.
//
// It follows RFC 9325 (recommendations for TLS), RFC 8314 and RFC 8997 (TLS for
// submission and access, 1.2 or newer), RFC 3207 (STARTTLS of SMTP), RFC 2595
// (of IMAP and POP3), RFC 8689 (REQUIRETLS) and Mozilla's Server Side TLS
// guideline, version 5.8.
package tlsconf
