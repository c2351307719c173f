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

// lease is a lease on a store with nothing else to do.
func lease(t *testing.T) limiter.Store {
	l, err := limiter.NewLease(memory(t), limiter.LeaseConfig{Share: 1e9})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestLease(t *testing.T) {
	storetest.Run(t, storetest.Config{New: lease, Synctest: true})
}

func TestLeaseInRealTime(t *testing.T) {
	storetest.Run(t, storetest.Config{New: lease})
}
