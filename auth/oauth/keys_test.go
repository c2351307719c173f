package oauth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// source is where keys come from, and how often they were asked for.
type source struct {
	ids   []string
	err   error
	takes time.Duration
	asked int
}

func (s *source) keys(t *testing.T) *keys {
	public := key(t, "EdDSA").Public()
	return &keys{refresh: 10 * time.Minute, again: 30 * time.Second, stale: maxStale, fetch: func(context.Context) ([]jose.JSONWebKey, error) {
		s.asked++
		time.Sleep(s.takes)
		var all []jose.JSONWebKey
		for _, id := range s.ids {
			all = append(all, jose.JSONWebKey{Key: public, KeyID: id})
		}
		return all, s.err
	}}
}

// Keys are asked for when they are needed, and not as often as strangers want.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{ids: []string{"a"}}
		k := s.keys(t)
		check := func(id string, found, asked int, away bool) {
			t.Helper()
			keys, err := k.find(t.Context(), id, "EdDSA")
			synctest.Wait()
			if len(keys) != found || (err != nil) != away || s.asked != asked {
				t.Errorf("%v: %d keys of %q, %v, after %d requests; want %d after %d", time.Now(), len(keys), id, err, s.asked, found, asked)
			}
		}
		check("a", 1, 1, false)
		check("a", 1, 1, false)
		for range 100 {
			check("made up", 0, 1, false)
		}
		s.ids = []string{"b", "a"} // a new one
		check("b", 0, 1, false)
		time.Sleep(30 * time.Second)
		check("b", 1, 2, false)
		check("made up", 0, 2, false)
		time.Sleep(30 * time.Second)
		check("made up", 0, 3, false)

		s.ids = []string{"b"} // the old one is taken back
		time.Sleep(10 * time.Minute)
		check("a", 1, 4, false) // asked meanwhile
		check("a", 0, 4, false)
		check("b", 1, 4, false)

		s.err = errors.New("away")
		time.Sleep(10 * time.Minute)
		check("b", 1, 5, false)
		check("b", 1, 5, false)
		check("made up", 0, 5, true) // nobody knows whether it is
		time.Sleep(time.Second)
		check("made up", 0, 6, true)
		time.Sleep(23 * time.Hour)
		check("b", 1, 7, false)
		time.Sleep(time.Hour)
		check("b", 0, 8, true) // too old
		s.err = nil
		time.Sleep(time.Second)
		check("b", 1, 9, false)
	})
}

// Whoever waits, waits for one request; and for no longer than he likes.
func TestOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{ids: []string{"a"}, takes: time.Second}
		k := s.keys(t)
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		results := make(chan error, 10)
		for range 9 {
			go func() {
				keys, err := k.find(t.Context(), "a", "EdDSA")
				if len(keys) != 1 {
					err = errors.Join(err, errors.New("not found"))
				}
				results <- err
			}()
		}
		if _, err := k.find(short, "a", "EdDSA"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who does not wait: %v", err)
		}
		for range 9 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if s.asked != 1 {
			t.Errorf("%d requests", s.asked)
		}
	})
}

// A token without a key id costs a bounded number of checks.
func TestCandidates(t *testing.T) {
	s := &source{ids: []string{"a", "b", "c", "d", "e", "f"}}
	k := s.keys(t)
	if keys, err := k.find(t.Context(), "", "EdDSA"); err != nil || len(keys) != maxCandidates {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if keys, err := k.find(t.Context(), "a", "ES256"); err != nil || len(keys) != 0 {
		t.Errorf("%d keys for another algorithm, %v", len(keys), err)
	}
}
