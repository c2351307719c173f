package failure

import (
	"context"
	"net"
)

// records answers as DNS would, by name with its trailing dot: "fail" for a text
// withholds the answer, and "hang" lets all wait for it.
type records map[string][]string

func (r records) LookupTXT(ctx context.Context, name string) ([]string, error) {
	texts, ok := r[name]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case texts[0] == "fail":
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	case texts[0] == "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return texts, nil
}
