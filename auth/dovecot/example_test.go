package dovecot_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/smtpguard/smtpguard/auth/dovecot"
)

func Example() {
	dir, err := os.MkdirTemp("", "auth")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "auth-smtp") // that of Dovecot, below /run/dovecot as a rule
	ln, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		talk(c, greeting, func(id string, params []string) []string {
			if login, password := proof(params); login != "ann@example.org" || password != "correct horse" {
				return []string{"FAIL\t" + id + "\tuser=" + login}
			}
			return []string{"OK\t" + id + "\tuser=ann@example.org"}
		})
	}()

	store, err := dovecot.New(dovecot.Config{Socket: socket})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	ctx := context.Background()
	ann, err := store.Verify(ctx, "ann@example.org", "correct horse")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ann.Login)
	_, err = store.Verify(ctx, "ann@example.org", "guess")
	fmt.Println(err)
	// Output:
	// ann@example.org
	// auth: credentials refused
}
