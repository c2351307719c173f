package redisstore

import (
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/limiter"
)

func TestNewNamesTheField(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want []string // all of them in the error
	}{
		{"braces", Config{Prefix: "a{b"}, []string{"Prefix", `"a{b"`}},
		{"space", Config{Prefix: "a b"}, []string{"Prefix"}},
		{"not ASCII", Config{Prefix: "é"}, []string{"Prefix"}},
		{"long", Config{Prefix: strings.Repeat("a", 65)}, []string{"Prefix"}},
		{"timeout", Config{Timeout: -1}, []string{"Timeout"}},
		{"probe", Config{Probe: -1}, []string{"Probe"}},
		{"failures", Config{Failures: -1}, []string{"Failures"}},
		{"away", Config{Away: 3}, []string{"Away", "3"}},
		{"machines", Config{Away: Local}, []string{"Machines", "0"}},
		{"too many machines", Config{Away: Local, Machines: 10001}, []string{"Machines", "10001"}},
		{"memory", Config{Away: Local, Machines: 1, Memory: limiter.MemoryConfig{MaxKeys: 1}}, []string{"Memory", "MaxKeys"}},
		{"all at once", Config{Prefix: "{", Timeout: -1, Away: -1}, []string{"Prefix", "Timeout", "Away"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := New(tt.cfg)
			if err == nil || s != nil {
				t.Fatalf("New = %v, %v", s, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %q", err, want)
				}
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "limiter: ") {
					t.Errorf("%q has no prefix", line)
				}
			}
		})
	}
}
