package smtpguard

import (
	"crypto/tls"
	"net"
)

// wire is our side of a connection below go-smtp and TLS.
type wire struct {
	net.Conn
	conn *Conn
	tls  *tls.Conn // of implicit TLS
}

func wireOf(nc net.Conn) *wire {
	for {
		switch c := nc.(type) {
		case *wire:
			return c
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return nil
		}
	}
}
