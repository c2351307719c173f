package ldapstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/auth/ldapstore"
)

// There is no directory here, so nobody is judged.
func Example() {
	store, err := ldapstore.New(ldapstore.Config{
		URLs: []string{"ldapi:///var/empty/ldapi"}, // or ldaps://ldap.example.org
		Search: &ldapstore.Search{
			Base:   "ou=people,dc=example,dc=org",
			Filter: "(&(objectClass=inetOrgPerson)(!(employeeType=former)))",
		},
		Senders: []string{"mail", "mailAlternateAddress"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	_, err = store.Verify(context.Background(), "ann@example.org", "correct horse")
	fmt.Println("deferred:", err != nil && !errors.Is(err, auth.ErrCredentials))
	_, err = store.Verify(context.Background(), "ann@example.org", "")
	fmt.Println(err)
	// Output:
	// deferred: true
	// auth: credentials refused
}
