package authres_test

import (
	"fmt"
	"strings"

	"github.com/smtpguard/smtpguard/auth/authres"
)

func Example() {
	filter, err := authres.New(authres.Config{
		ID:       "mx.example.org",
		Upstream: []string{"gateway.example.net"},
		Keep:     []string{"lists.example.com"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// In a check: msg.Strip("Authentication-Results", filter.Strip)
	for _, value := range []string{
		` "MX.Example.Org" (really); dkim=pass header.d=bank.example`,
		` gateway.example.net; dkim=pass header.d=bank.example`,
		` lists.example.com; spf=pass smtp.mailfrom=list.example.com`,
		` another.example; spf=pass`,
	} {
		fmt.Println(filter.Strip([]byte(value)), filter.StripFromUpstream([]byte(value)), value)
	}

	// Our own, with words of a sender in it.
	field, err := filter.Results(
		authres.Method{Name: "spf", Result: authres.Fail, Properties: []authres.Property{
			{Type: "smtp", Name: "mailfrom", Value: `x; dkim=pass header.d=bank.example`},
		}},
		authres.Method{Name: "dkim", Result: authres.Pass, Properties: []authres.Property{
			{Type: "header", Name: "d", Value: "example.com"},
		}},
	).Field()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(strings.ReplaceAll(field, "\r\n", "\n"))

	// From a client that is known to be the gateway.
	for _, results := range filter.Upstream([]string{` gateway.example.net; dmarc=pass (p=reject) header.from=example.com`}) {
		for _, m := range results.Find("dmarc") {
			fmt.Println(m.Result, m.Value("header", "from"))
		}
	}
	// Output:
	// true true  "MX.Example.Org" (really); dkim=pass header.d=bank.example
	// true false  gateway.example.net; dkim=pass header.d=bank.example
	// false false  lists.example.com; spf=pass smtp.mailfrom=list.example.com
	// true true  another.example; spf=pass
	// Authentication-Results: mx.example.org;
	// 	spf=fail smtp.mailfrom="x; dkim?pass header.d?bank.example";
	// 	dkim=pass header.d=example.com
	// pass example.com
}
