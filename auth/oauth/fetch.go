package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxBody bounds what an issuer may answer, in octets.
const maxBody = 256 << 10

// client is an HTTP client that goes nowhere but where it is sent: a redirect
// would carry tokens and secrets along.
func client(c *http.Client) *http.Client {
	if c == nil {
		c = &http.Client{}
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Jar = nil
	return &own
}

// checkURL says what is wrong with the address of an issuer, "" for nothing.
func checkURL(s string, insecure bool) string {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return "is empty"
	case err != nil || u.Host == "":
		return "is no URL"
	case u.User != nil:
		return "has a user in it"
	case u.Scheme != "https" && !(insecure && u.Scheme == "http"):
		return "is not https://, and Insecure is not set"
	}
	return ""
}

// do asks an issuer, and returns what it answers with 200 and in JSON.
func do(c *http.Client, req *http.Request) ([]byte, error) {
	req.Header.Set("Accept", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %.40q", req.URL.Host, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, errors.New("the answer is too long")
	}
	return body, nil
}

// get fetches a document.
func get(ctx context.Context, c *http.Client, address string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return do(c, req)
}
