package auth_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
)

func Example() {
	dir, err := os.MkdirTemp("", "auth")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	hash, err := auth.NewHash(auth.Argon2id, "correct horse")
	if err != nil {
		fmt.Println(err)
		return
	}
	path := filepath.Join(dir, "passwords")
	if err := os.WriteFile(path, []byte("ann@example.org:"+hash.String()+" senders=ann@example.org,*@lists.example.org\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	passwords, err := auth.OpenFile(auth.FileConfig{Path: path})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer passwords.Close()
	a, err := auth.New(auth.Config{Store: passwords, Listeners: []string{"submission"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	senders, err := auth.NewSenders(auth.SendersConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := smtpguard.New(smtpguard.Config{}, auth.Required("submission"), senders.Check())
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = smtp.NewServer(guard.Wrap(a.Wrap(&mailbox{}))) // to be served by guard.Listen

	ctx := context.Background()
	ann, err := passwords.Verify(ctx, "ann@example.org", "correct horse")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, addr := range []string{"ann+news@example.org", "anybody@lists.example.org", "ceo@example.org"} {
		ok, err := senders.Allows(ctx, ann, addr)
		fmt.Println(addr, ok, err)
	}
	_, err = passwords.Verify(ctx, "ann@example.org", "guess")
	fmt.Println(err)
	// Output:
	// ann+news@example.org true <nil>
	// anybody@lists.example.org true <nil>
	// ceo@example.org false <nil>
	// auth: credentials refused
}
