package auth_test

import (
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// The attack kit finds nothing in a submission service.
func TestKit(t *testing.T) {
	senders, err := auth.NewSenders(auth.SendersConfig{})
	if err != nil {
		t.Fatal(err)
	}
	store := fullStore(t)
	l := newLab(t, auth.Config{
		Store:      store,
		Mechanisms: []string{auth.ScramSHA256Plus, auth.ScramSHA256, auth.Plain, auth.Login},
	}, auth.Required(), senders.Check())
	target := l.target()
	target.Submission, target.Own, target.Work = true, "ann@example.org", store.Derivations
	for _, suite := range []string{"auth", "spoofing"} {
		smtpguardtest.RunCases(t, target, smtpguardtest.Suite(suite))
	}
	if notes := l.notes(smtpguard.KindWarning); len(notes) == 0 {
		t.Error("no warning of a downgrade")
	}
}
