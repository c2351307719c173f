package blocklist_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	netsmtp "net/smtp"
	"net/textproto"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/blocklist"
)

func ExampleTraps() {
	list, err := blocklist.NewDynamic(blocklist.DynamicConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer list.Close()
	addresses, err := blocklist.NewSet(
		blocklist.Entry{Kind: blocklist.Mailbox, Value: "j.doe.1998@example.org", Word: blocklist.Block},
		blocklist.Entry{Kind: blocklist.Domain, Value: "old.example", Word: blocklist.Block},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	providers, err := blocklist.NewSet(blocklist.Entry{Kind: blocklist.Addr, Value: "192.0.2.0/24", Word: blocklist.Allow})
	if err != nil {
		fmt.Println(err)
		return
	}
	events := make(chan blocklist.TrapEvent, 1)
	traps, err := blocklist.NewTraps(blocklist.TrapConfig{
		Traps: addresses, Blocks: list, Exempt: providers,
		Report: func(ev blocklist.TrapEvent) { events <- ev },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	blocks, err := blocklist.NewCheck(blocklist.CheckConfig{List: list})
	if err != nil {
		fmt.Println(err)
		return
	}
	addr, stop, err := serve(blocks, traps.Check())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	mail := []byte("Subject: offer\r\n\r\nBuy.\r\n")
	err = netsmtp.SendMail(addr, nil, "x@spam.example", []string{"info@example.org", "j.doe.1998@example.org"}, mail)
	fmt.Println("first mail:", err)
	ev := <-events
	fmt.Println("event:", ev.Traps, "blocked", ev.Blocked, "for", ev.Until.Sub(ev.Time))
	err = netsmtp.SendMail(addr, nil, "x@spam.example", []string{"info@example.org"}, mail)
	if refused, ok := errors.AsType[*textproto.Error](err); ok {
		fmt.Println("second mail:", refused.Code, refused.Msg)
	}
	// Output:
	// first mail: <nil>
	// event: [j.doe.1998@example.org] blocked 127.0.0.1/32 for 1h0m0s
	// second mail: 554 5.7.1 Your address is blocked here
}

// serve runs a server with checks on a loopback address.
func serve(checks ...smtpguard.Check) (addr string, stop func(), err error) {
	guard, err := smtpguard.New(smtpguard.Config{}, checks...)
	if err != nil {
		return "", nil, err
	}
	srv := smtp.NewServer(guard.Wrap(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return sink{}, nil })))
	srv.Domain = "mx.example.org"
	if err := smtpguard.Harden(srv); err != nil {
		return "", nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	guarded, err := guard.Listen(srv, ln, smtpguard.ListenConfig{})
	if err != nil {
		ln.Close()
		return "", nil, err
	}
	done := make(chan error, 1)
	go func() { done <- guarded.Serve() }()
	return ln.Addr().String(), func() { srv.Close(); <-done }, nil
}

// sink is a backend that takes everything.
type sink struct{}

func (sink) Reset()                               {}
func (sink) Logout() error                        { return nil }
func (sink) Mail(string, *smtp.MailOptions) error { return nil }
func (sink) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (sink) Data(r io.Reader) error               { _, err := io.Copy(io.Discard, r); return err }
