package redisstore

import (
	"context"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

func TestSmoke(t *testing.T) {
	s := start(t).store(Config{Timeout: time.Second})
	l := limiter.Limit{N: 7, Per: time.Minute}
	for i := range 9 {
		st, err := s.Take(context.Background(), []limiter.Ask{{Key: "a", Limit: l, N: 1}, {Key: "a", Limit: limiter.Limit{N: 100, Per: time.Hour}, N: 1}})
		t.Log(i, st, err)
	}
}
