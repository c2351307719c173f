package smtpguardtest

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"
)

func fakeTarget(t *testing.T, serve func(*mailbox) func(net.Listener) error) Target {
	box := &mailbox{}
	return Target{
		Serve:     serve(box),
		Recipient: "rcpt@local.example",
		Foreign:   "victim@foreign.example",
		User:      "user", Password: "password", Own: "sender@client.example",
		Delivered:   box.delivered,
		PreGreeting: strictWait,
		Silence:     strictSilence,
		Dribble:     strictDribble,
		Timeout:     2 * time.Second,
	}
}

// Every case passes on a server that keeps the rules.
func TestEveryCaseCanPass(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := certificate(t)
	target := fakeTarget(t, func(box *mailbox) func(net.Listener) error { return serveStrict(box, serverTLS) })
	target.TLS = clientTLS
	s, err := start(target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	for _, k := range Suite("") {
		f, skip := s.run(context.Background(), k)
		if skip != "" {
			t.Errorf("%s was skipped: %s", k.Name, skip)
		}
		if f != nil {
			t.Errorf("%s: %v", k.Name, f)
		}
	}
}

// Every case fails on a server that breaks the rules: one that takes all, or,
// for honest mail, one that takes nothing.
func TestEveryCaseCanFail(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := certificate(t)
	var failed []string
	for _, serve := range []func(*mailbox) func(net.Listener) error{
		func(box *mailbox) func(net.Listener) error { return serveLoose(box, serverTLS) },
		func(*mailbox) func(net.Listener) error { return serveDeaf },
	} {
		target := fakeTarget(t, serve)
		target.TLS = clientTLS
		target.Timeout = 150 * time.Millisecond
		target.Silence, target.Dribble = 50*time.Millisecond, 100*time.Millisecond
		left := slices.DeleteFunc(Suite(""), func(k Case) bool { return slices.Contains(failed, k.Name) })
		findings, err := CheckCases(context.Background(), target, left)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			failed = append(failed, f.Case.Name)
		}
	}
	for _, k := range Suite("") {
		if !slices.Contains(failed, k.Name) {
			t.Errorf("%s passes everywhere", k.Name)
		}
	}
}
