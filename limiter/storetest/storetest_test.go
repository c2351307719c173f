package storetest_test

import (
	"testing"

	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/limiter/storetest"
)

func memory(t *testing.T) limiter.Store {
	m, err := limiter.NewMemory(limiter.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Config{New: memory, Synctest: true, Exact: true})
}

func TestMemoryInRealTime(t *testing.T) {
	storetest.Run(t, storetest.Config{New: memory, Exact: true})
}
