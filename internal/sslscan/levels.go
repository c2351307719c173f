package sslscan

import "crypto/tls"

// What the levels of package tlsconf promise, written down a second time.
var (
	Submission = Bounds{"1.2", append(aead12[:len(aead12):len(aead12)], tls13...), groups}
	MX         = Bounds{"1.2", append(append(cbc[:len(cbc):len(cbc)], aead12...), tls13...), append(groups[:len(groups):len(groups)], tls.CurveP521)}
	Strict     = Bounds{"1.3", tls13, groups}
)

var (
	tls13  = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
	aead12 = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	cbc = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	}
	groups = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384} // sslscan knows no hybrid ones
)
