package smtpguard

import "io"

// Message is the content of one transaction, spooled whole before any check
// sees it.
type Message struct{}

// Stubs until the spool is here.
func (m *Message) Size() int64                                      { return 0 }
func (m *Message) ReadAt(p []byte, off int64) (int, error)          { return 0, io.EOF }
func (m *Message) Prepend(field string)                             {}
func (m *Message) Strip(name string, match func(value []byte) bool) {}
func (m *Message) shadow() *Message                                 { return m }
func (m *Message) close()                                           {}
func (m *Message) edited() io.Reader                                { return nil }

type spooler struct{}

func newSpooler(cfg *Config) *spooler { return &spooler{} }

// intake is how one message is to be received.
type intake struct {
	octets OctetPolicy
	size   int64             // as declared by SIZE, 0 when not; a hint
	note   func(what string) // something odd that is allowed
}

func (sp *spooler) receive(r io.Reader, in intake) (*Message, error) { return nil, nil }
