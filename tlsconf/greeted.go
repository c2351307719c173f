package tlsconf

import (
	"bytes"
	"crypto/tls"
	"strings"
	"sync"
	"sync/atomic"
)

// greeted is a connection whose client has been greeted: the line that its
// server writes first is left out, where that is a greeting and no "* BYE".
type greeted struct {
	*tls.Conn
	want string // how a greeting begins

	done atomic.Bool // it is over
	mu   sync.Mutex
	have string // of want
}

// Write writes what comes behind the greeting.
func (c *greeted) Write(p []byte) (int, error) {
	if c.done.Load() {
		return c.Conn.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done.Load() {
		return c.Conn.Write(p)
	}
	n := min(len(p), len(c.want)-len(c.have))
	c.have += string(p[:n])
	rest := p[n:]
	switch end := bytes.IndexByte(rest, '\n'); {
	case !strings.HasPrefix(c.want, c.have):
		rest = append([]byte(c.have), rest...)
	case end < 0 || c.have != c.want:
		return len(p), nil
	default:
		rest = rest[end+1:]
	}
	c.done.Store(true)
	if len(rest) > 0 {
		if _, err := c.Conn.Write(rest); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
