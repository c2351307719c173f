package smtpguard

import (
	"net/netip"
	"strings"
	"testing"
)

// New names the field that is wrong.
func TestConfig(t *testing.T) {
	for field, edit := range map[string]func(*Config){
		"Limits.Path":            func(c *Config) { c.Limits.Path = 63 },
		"Limits.Line":            func(c *Config) { c.Limits.Line = 997 },
		"Limits.HeaderBytes":     func(c *Config) { c.Limits.HeaderBytes = -1 },
		"Limits.HeaderFields":    func(c *Config) { c.Limits.HeaderFields = 19 },
		"Limits.FieldBytes":      func(c *Config) { c.Limits.FieldBytes = 997 },
		"Limits.Received":        func(c *Config) { c.Limits.Received = -1 },
		"Limits.Errors":          func(c *Config) { c.Limits.Errors = -1 },
		"Limits.Idle":            func(c *Config) { c.Limits.Idle = 9 },
		"Spool.Memory":           func(c *Config) { c.Spool.Memory = -1 },
		"Spool.Total":            func(c *Config) { c.Spool.Total = -1 },
		"StageTimeout":           func(c *Config) { c.StageTimeout = -1 },
		"Octets":                 func(c *Config) { c.Octets = 3 },
		"OctetRules[0]":          func(c *Config) { c.OctetRules = make([]OctetRule, 1) },
		"OctetRules[0].Policy":   func(c *Config) { c.OctetRules = []OctetRule{{Logins: []string{"a"}, Policy: -1}} },
		"OctetRules[0].Networks": func(c *Config) { c.OctetRules = []OctetRule{{Networks: make([]netip.Prefix, 1)}} },
		"EightBit":               func(c *Config) { c.EightBit = 2 },
		"Hello":                  func(c *Config) { c.Hello = 2 },
		"Hostname":               func(c *Config) { c.Hostname = "no name" },
	} {
		var cfg Config
		edit(&cfg)
		_, err := New(cfg)
		if err == nil || !strings.HasPrefix(err.Error(), "smtpguard: Config."+field+" ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, err := New(Config{StageTimeout: -1, Hello: 2}, Check{}, Check{Name: "a", OnError: 3})
	for _, part := range []string{"StageTimeout", "Hello", "check 0 has no Name", `check "a": OnError`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("not all at once: %v, want %q too", err, part)
		}
	}
	if _, err := New(Config{}); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
}
