package dovecot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Bounds of what Dovecot may say: octets of a line, and lines before the first
// request.
const (
	maxLine      = 8192
	maxHandshake = 100
)

// conn is a connection to Dovecot, with requests under way.
type conn struct {
	net     net.Conn
	replies *bufio.Reader

	mu      sync.Mutex
	pending map[uint32]chan reply // with room for one
	last    uint32
	heard   time.Time // when Dovecot last said something
	err     error     // why the connection has ended

	ended chan struct{} // closed with err
}

// dial connects, and waits until Dovecot is ready.
func dial(ctx context.Context, socket string) (*conn, error) {
	var d net.Dialer
	n, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	c := &conn{net: n, replies: bufio.NewReaderSize(n, maxLine), pending: make(map[uint32]chan reply), ended: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { n.Close() })
	err = c.greet()
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	go c.listen()
	return c, nil
}

// greet does the handshake. Dovecot wants each client to have a number of its
// own, a process id as a rule: two stores of a process, or of two containers,
// would have the same.
func (c *conn) greet() error {
	if _, err := fmt.Fprintf(c.net, "VERSION\t%d\t%d\nCPID\t%d\n", major, minor, 1+rand.Int32N(1<<31-1)); err != nil {
		return err
	}
	var h handshake
	for range maxHandshake {
		line, err := c.line()
		if err != nil {
			return err
		}
		if done, err := h.line(line); done || err != nil {
			return err
		}
	}
	return errors.New("no end of the handshake")
}

// line reads a line, without its end.
func (c *conn) line() (string, error) {
	line, err := c.replies.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("a line of over %d octets", maxLine)
	}
	if err != nil {
		return "", err
	}
	return string(line[:len(line)-1]), nil
}

// listen hands out replies until the connection ends.
func (c *conn) listen() {
	for {
		line, err := c.line()
		if err != nil {
			c.end(err)
			return
		}
		r, ok, err := parseReply(line)
		if err != nil {
			c.end(err)
			return
		}
		c.mu.Lock()
		c.heard = time.Now()
		if wait := c.pending[r.id]; ok && wait != nil { // else nobody waits any more
			delete(c.pending, r.id)
			wait <- r
		}
		c.mu.Unlock()
	}
}

// end ends the connection, and whoever waits for a reply learns why. The first
// reason counts.
func (c *conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.ended)
		c.net.Close()
	}
}

// over reports whether the connection has ended.
func (c *conn) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// ask sends a request and waits for its reply. A connection that has not said
// anything for as long as ctx lasted is ended.
func (c *conn) ask(ctx context.Context, mechanism, params string) (reply, error) {
	begin, wait := time.Now(), make(chan reply, 1)
	c.mu.Lock()
	for c.last++; c.last == 0 || c.pending[c.last] != nil; c.last++ {
	}
	id := c.last
	c.pending[id] = wait
	c.mu.Unlock()
	if err := c.send(ctx, fmt.Sprintf("AUTH\t%d\t%s\t%s\n", id, mechanism, params)); err != nil {
		c.end(err)
	}
	select {
	case r := <-wait:
		return r, nil
	case <-c.ended:
		select {
		case r := <-wait: // both at once
			return r, nil
		default:
			return reply{}, c.err
		}
	case <-ctx.Done():
	}
	c.mu.Lock()
	delete(c.pending, id)
	silent := c.heard.Before(begin)
	c.mu.Unlock()
	if silent && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.end(errors.New("no reply in time"))
	} else {
		c.send(context.Background(), fmt.Sprintf("CANCEL\t%d\n", id))
	}
	return reply{}, ctx.Err()
}

// send writes a line, for a second or for as long as ctx lasts. What cannot be
// written in that time leaves the connection unusable.
func (c *conn) send(ctx context.Context, line string) error {
	deadline := time.Now().Add(time.Second)
	if end, ok := ctx.Deadline(); ok && end.After(deadline) {
		deadline = end
	}
	c.net.SetWriteDeadline(deadline)
	_, err := c.net.Write([]byte(line))
	return err
}
