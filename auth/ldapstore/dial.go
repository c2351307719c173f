package ldapstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// dial connects to the server that answered last, or the next that does. Each
// gets its share of the time.
func (s *Store) dial(ctx context.Context) (*conn, error) {
	var errs []error
	first := int(s.good.Load())
	for i := range s.servers {
		at := (first + i) % len(s.servers)
		ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout/time.Duration(len(s.servers)))
		c, err := s.dialOne(ctx, s.servers[at])
		cancel()
		if err == nil {
			s.good.Store(int64(at))
			return c, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.cfg.URLs[at], err))
	}
	return nil, errors.Join(errs...)
}

func (s *Store) dialOne(ctx context.Context, e endpoint) (*conn, error) {
	var d net.Dialer
	plain, err := d.DialContext(ctx, e.network, e.addr)
	if err != nil {
		return nil, err
	}
	raw := &bounded{Conn: plain}
	raw.left.Store(maxAnswer)
	cfg := s.cfg.TLS.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = e.host
	}
	if e.tls {
		wrapped := tls.Client(raw, cfg)
		if err := wrapped.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		return newConn(raw, wrapped), nil
	}
	c := newConn(raw, nil)
	if e.starttls {
		if _, err := c.during(ctx, func(l *ldap.Conn) error { return l.StartTLS(cfg) }); err != nil {
			raw.Close()
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	return c, nil
}

// dialService is dial, and binds as who searches.
func (s *Store) dialService(ctx context.Context) (*conn, error) {
	c, err := s.dial(ctx)
	if err != nil || s.find.BindDN == "" {
		return c, err
	}
	if _, err := c.during(ctx, func(l *ldap.Conn) error { return l.Bind(s.find.BindDN, s.find.BindPassword) }); err != nil {
		c.raw.Close()
		return nil, fmt.Errorf("%s cannot search: %w", s.find.BindDN, cleaned(err))
	}
	return c, nil
}
