package smtpguard

import (
	"crypto/tls"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

func TestHarden(t *testing.T) {
	name, err := os.Hostname()
	if err != nil || !validDomain(name) {
		t.Skipf("the machine's name is %q, %v", name, err)
	}
	s := smtp.NewServer(&wireServer{})
	if err := Harden(s); err != nil {
		t.Fatal(err)
	}
	if s.ReadTimeout != 5*time.Minute || s.WriteTimeout != 5*time.Minute || s.MaxMessageBytes != 32<<20 ||
		s.MaxRecipients != 100 || s.MaxLineLength != 12288 || s.Domain != name {
		t.Errorf("filled: %+v", s)
	}
	s = &smtp.Server{
		Backend: &wireServer{}, Domain: "mx.example.org", ReadTimeout: time.Minute, WriteTimeout: time.Second,
		MaxMessageBytes: 1 << 20, MaxRecipients: 1000, MaxLineLength: 20000,
	}
	if err := Harden(s); err != nil {
		t.Fatal(err)
	}
	if s.ReadTimeout != time.Minute || s.WriteTimeout != time.Second || s.MaxMessageBytes != 1<<20 ||
		s.MaxRecipients != 1000 || s.MaxLineLength != 20000 || s.Domain != "mx.example.org" {
		t.Errorf("what was set has changed: %+v", s)
	}
}

func TestHardenRefuses(t *testing.T) {
	certified := &tls.Config{Certificates: make([]tls.Certificate, 1)}
	for field, edit := range map[string]func(*smtp.Server){
		"Backend":              func(s *smtp.Server) { s.Backend = nil },
		"Domain":               func(s *smtp.Server) { s.Domain = "-no domain-" },
		"ReadTimeout":          func(s *smtp.Server) { s.ReadTimeout = -1 },
		"WriteTimeout":         func(s *smtp.Server) { s.WriteTimeout = -1 },
		"MaxMessageBytes":      func(s *smtp.Server) { s.MaxMessageBytes = 64<<10 - 1 },
		"MaxRecipients":        func(s *smtp.Server) { s.MaxRecipients = 99 },
		"MaxLineLength":        func(s *smtp.Server) { s.MaxLineLength = 12287 },
		"AllowInsecureAuth":    func(s *smtp.Server) { s.AllowInsecureAuth, s.TLSConfig = true, certified },
		"EnableREQUIRETLS":     func(s *smtp.Server) { s.EnableREQUIRETLS = true },
		"TLSConfig":            func(s *smtp.Server) { s.TLSConfig = &tls.Config{} },
		"MinimumDeliverByTime": func(s *smtp.Server) { s.MinimumDeliverByTime = time.Second },
		"Debug":                func(s *smtp.Server) { s.Debug = io.Discard },
	} {
		s := smtp.NewServer(&wireServer{})
		s.Domain = "mx.example.org"
		edit(s)
		err := Harden(s)
		if err == nil || !strings.Contains(err.Error(), "smtp.Server."+field+" ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", field, err)
		}
		if s.MaxRecipients == minRecipients {
			t.Errorf("%s: refused, and changed", field)
		}
	}
	s := smtp.NewServer(&wireServer{})
	s.ReadTimeout, s.MaxRecipients = -1, -1
	if err := Harden(s); err == nil || !strings.Contains(err.Error(), "ReadTimeout") || !strings.Contains(err.Error(), "MaxRecipients") {
		t.Errorf("not all at once: %v", err)
	}
}
