package smtpguard

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	// go-smtp has one limit for command lines, AUTH responses and content lines;
	// RFC 4954, section 4, asks for 12,288 octets. The guard bounds paths and
	// content lines itself.
	minLineLength = 12_288
	maxLineLength = 1 << 20

	libraryLineLength = 2000     // smtp.NewServer's
	minMessageBytes   = 64 << 10 // RFC 5321, section 4.5.3.1.7
	minRecipients     = 100      // section 4.5.3.1.8
)

// Harden makes s safe to serve: it fills what is zero, and refuses what cannot
// be meant, all of it at once, naming the fields. A refused s is unchanged.
//
// It fills ReadTimeout and WriteTimeout with 5 minutes (RFC 5321, section
// 4.5.3.2.7), MaxMessageBytes with 32 MiB, MaxRecipients with 100 (section
// 4.5.3.1.8), MaxLineLength, also where it is go-smtp's default of 2,000, with
// 12,288 (RFC 4954, section 4), and Domain with the machine's name.
func Harden(s *smtp.Server) error {
	var errs []error
	bad := func(field string, v any, why string) {
		errs = append(errs, fmt.Errorf("smtpguard: smtp.Server.%s is %v: %s", field, v, why))
	}
	domain := s.Domain
	if domain == "" {
		name, err := os.Hostname()
		if err == nil && validDomain(name) {
			domain = name
		} else {
			bad("Domain", "empty", fmt.Sprintf("and the machine's name %q is no domain name", name))
		}
	} else if !validDomain(domain) {
		bad("Domain", fmt.Sprintf("%q", domain), "is no domain name")
	}
	if s.Backend == nil {
		bad("Backend", "nil", "nobody would take the mail")
	}
	if s.ReadTimeout < 0 {
		bad("ReadTimeout", s.ReadTimeout, "must not be negative")
	}
	if s.WriteTimeout < 0 {
		bad("WriteTimeout", s.WriteTimeout, "must not be negative")
	}
	if n := s.MaxMessageBytes; n != 0 && n < minMessageBytes {
		bad("MaxMessageBytes", n, "must be 65536 or more (RFC 5321, section 4.5.3.1.7)")
	}
	if n := s.MaxRecipients; n != 0 && n < minRecipients {
		bad("MaxRecipients", n, "must be 100 or more (RFC 5321, section 4.5.3.1.8)")
	}
	if n := s.MaxLineLength; n != 0 && n != libraryLineLength && (n < minLineLength || n > maxLineLength) {
		bad("MaxLineLength", n, "must be from 12288 (RFC 4954, section 4) to 1048576")
	}
	if s.AllowInsecureAuth && s.TLSConfig != nil {
		bad("AllowInsecureAuth", true, "passwords would go in clear text although there is a TLSConfig")
	}
	if s.EnableREQUIRETLS && s.TLSConfig == nil {
		bad("EnableREQUIRETLS", true, "there is no TLSConfig (RFC 8689)")
	}
	if c := s.TLSConfig; c != nil && len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		bad("TLSConfig", "without a certificate", "no handshake could succeed")
	}
	if s.MinimumDeliverByTime != 0 && !s.EnableDELIVERBY {
		bad("MinimumDeliverByTime", s.MinimumDeliverByTime, "EnableDELIVERBY is off")
	}
	if s.MinimumDeliverByTime < 0 {
		bad("MinimumDeliverByTime", s.MinimumDeliverByTime, "must not be negative")
	}
	if s.Debug != nil {
		bad("Debug", "set", "it would write passwords and content")
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}

	s.Domain = domain
	fill(&s.ReadTimeout, 5*time.Minute)
	fill(&s.WriteTimeout, 5*time.Minute)
	fill(&s.MaxMessageBytes, 32<<20)
	fill(&s.MaxRecipients, minRecipients)
	if s.MaxLineLength < minLineLength {
		s.MaxLineLength = minLineLength
	}
	return nil
}

// fill sets a zero *v to d.
func fill[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
