package dkim

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const day = 24 * time.Hour

// TestSchedule runs a year of days through the plan, with what DNS has as
// somebody would see to it.
func TestSchedule(t *testing.T) {
	s := schedule{life: 90 * day, notice: 14 * day, lead: 2 * day, linger: 10 * day}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var keys []stage
	dns := map[string]int{} // the day from which DNS has a key
	var got []string
	made := 0
	for n := range 220 {
		now := begin.Add(time.Duration(n) * day)
		var steps []step
		keys, steps = s.advance(keys, now, func(k stage) lookup {
			if n == 50 {
				return unknown // a day without DNS changes nothing
			}
			if n >= 60 && n < 62 && k.Selector == "k1" {
				return missing // somebody errs
			}
			if from, ok := dns[k.Selector]; ok && n >= from {
				return there
			}
			return missing
		}, func() stage {
			made++
			return stage{Selector: fmt.Sprintf("k%d", made)}
		})
		for _, st := range steps {
			got = append(got, fmt.Sprintf("%d %s %s", n, st.kind, st.key.Selector))
			if st.kind == KeyCreated {
				dns[st.key.Selector] = n + map[string]int{"k1": 3, "k2": 20}[st.key.Selector] // the second is late
			}
		}
		signs := 0
		for _, k := range keys {
			if k.Phase == active {
				signs++
			}
			if k.Phase == active && k.Seen.IsZero() && !(n >= 60 && n < 62) {
				t.Fatalf("day %d: %s signs unseen", n, k.Selector)
			}
		}
		if n > 3 && signs != 1 {
			t.Fatalf("day %d: %d keys sign", n, signs)
		}
	}
	want := []string{
		"0 created k1", "3 published k1", "3 active k1",
		"60 missing k1", "61 missing k1", "62 published k1",
		"79 created k2", "99 published k2", "101 retired k1", "101 active k2", "111 withdrawn k1",
		"177 created k3", "178 published k3", "191 retired k2", "191 active k3", "201 withdrawn k2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	z := zone{}
	var events []string
	cfg := RotationConfig{Dir: dir, Domains: []string{"Example.org"}, Types: []KeyType{RSA2048, Ed25519}, Resolver: z, Life: 30 * day, Notice: 7 * day,
		Observe: func(e Event) {
			events = append(events, fmt.Sprintf("%s %s", e.Kind, e.Selector))
			if e.Record != "" {
				z.set(e.Selector+"._domainkey."+e.Domain, e.Record)
			}
			if e.Kind == KeyWithdrawn {
				delete(z, e.Selector+"._domainkey."+e.Domain)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		}}
	now := time.Date(2026, 7, 24, 0, 0, 0, 0, time.UTC)
	step := func(r *Rotation, want ...string) {
		t.Helper()
		events = nil
		if err := r.Step(context.Background(), now); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(events, want) {
			t.Errorf("%v: %q, want %q", now, events, want)
		}
	}
	open := func() *Rotation {
		t.Helper()
		r, err := NewRotation(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open()
	if r.Keys("example.org") != nil {
		t.Error("keys before the first step")
	}
	step(r, "created 20260724a", "created 20260724b")
	if len(r.Keys("example.org")) != 0 {
		t.Error("keys sign that nobody has seen")
	}
	r = open() // what is known is in files
	step(r, "published 20260724a", "active 20260724a", "published 20260724b", "active 20260724b")
	s := signer(t, SignConfig{})
	fields, err := s.SignAuthor(context.Background(), strings.NewReader(message), r)
	if err != nil || len(fields) != 2 {
		t.Fatalf("%d fields, %v", len(fields), err)
	}
	report, err := verifier(t, Config{Resolver: z}).Verify(context.Background(), strings.NewReader(strings.Join(fields, "")+message))
	if err != nil || report.Signatures[0].Result != Pass || report.Signatures[1].Result != Pass {
		t.Errorf("%+v, %v", report, err)
	}
	now = now.Add(23 * day)
	step(r, "created 20260816a", "created 20260816b")
	now = now.Add(day)
	step(open(), "published 20260816a", "published 20260816b")
	now = now.Add(6 * day)
	r = open()
	step(r, "retired 20260724a", "active 20260816a", "retired 20260724b", "active 20260816b")
	if got := r.Keys("example.org"); len(got) != 2 || got[0].Selector != "20260816a" {
		t.Errorf("%+v", got)
	}
	now = now.Add(10 * day)
	step(r, "withdrawn 20260724a", "withdrawn 20260724b")
	files, err := os.ReadDir(filepath.Join(dir, "example.org"))
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, f := range files {
		left = append(left, f.Name())
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	if !slices.Equal(left, []string{"20260816a.pem", "20260816b.pem", "rotation.json"}) {
		t.Errorf("files: %q", left)
	}
	if r.Keys("example.net") != nil {
		t.Error("keys of another domain")
	}
}

func TestRotationConfig(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "broken.example/rotation.json", []byte("{"), 0o600)
	put(t, dir, "outside.example/rotation.json", []byte(`[{"selector":"../x"}]`), 0o600)
	put(t, dir, "gone.example/rotation.json", []byte(`[{"selector":"x"}]`), 0o600)
	_, err := NewRotation(RotationConfig{Dir: dir, Domains: []string{"org", "broken.example", "outside.example", "gone.example"}, Types: []KeyType{"dsa"},
		Life: -1, Lead: 100 * day})
	for _, want := range []string{"Domains[0]", "Domains[1]", "Domains[2]", "Domains[3]", "Types[0]", "Life", "Lead must fit"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v: nothing of %s", err, want)
		}
	}
	if _, err := NewRotation(RotationConfig{}); err == nil {
		t.Error("nothing")
	}
}

// TestRotationRun steps each hour, and reports what fails.
func TestRotationRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	r, err := NewRotation(RotationConfig{Dir: dir, Domains: []string{"example.org"}, Types: []KeyType{Ed25519}, Resolver: zone{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // where the folder would be
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Minute)
		defer cancel()
		failures := 0
		r.Run(ctx, func(error) { failures++ })
		if failures != 3 {
			t.Errorf("%d failures", failures)
		}
	})
}
