package arc_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/smtpguard/smtpguard/auth/arc"
)

// records is DNS for the example.
type records map[string]string

func (r records) LookupTXT(_ context.Context, name string) ([]string, error) {
	return []string{r[name]}, nil
}

// A mailing list seals what it found, changes the message, and passes it on; who
// gets it and trusts the list knows that the author's domain stood behind it.
func Example() {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // of the example
	dns := records{"s1._domainkey.lists.example.org": "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))}
	ctx := context.Background()
	v, err := arc.New(arc.Config{Resolver: dns})
	if err != nil {
		fmt.Println(err)
		return
	}
	sealer, err := arc.NewSealer(arc.SealConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}

	came := "From: ann@example.com\r\nSubject: minutes\r\n\r\nHere they are.\r\n"
	before, err := v.Validate(ctx, strings.NewReader(came))
	if err != nil {
		fmt.Println(err)
		return
	}
	goes := strings.Replace(came, "minutes", "[list] minutes", 1)
	fields, err := sealer.Seal(ctx, strings.NewReader(goes), before,
		"lists.example.org; arc=none; dmarc=pass header.from=example.com",
		arc.Key{Domain: "lists.example.org", Selector: "s1", Private: key})
	if err != nil {
		fmt.Println(err)
		return
	}

	chain, err := v.Validate(ctx, strings.NewReader(strings.Join(fields, "")+goes))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(before.Status, chain.Status)
	if set, ok := chain.Trusted("lists.example.org"); ok {
		fmt.Println(set.Results)
	}
	// Output:
	// none pass
	// lists.example.org; arc=none; dmarc=pass header.from=example.com
}
