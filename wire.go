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

// Stubs until the listener is here.
func (w *wire) enterBody(bool)           {}
func (w *wire) leaveBody()               {}
func (w *wire) hangUp()                  {}
func (w *wire) reads() uint64            { return 0 }
func (w *wire) setBusy(bool)             {}
func (w *wire) progress()                {}
func (w *wire) credit(int)               {}
func (w *wire) hello()                   {}
func (w *wire) esmtp() bool              { return true }
func (w *wire) truncated(*tls.Conn) bool { return false }
func (w *wire) allowPipelining() bool    { return false }
