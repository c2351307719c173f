package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/mail"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc/report"
	"github.com/smtpguard/smtpguard/examples/server/internal/maildir"
	"github.com/smtpguard/smtpguard/relay"
)

// outgoing is mail of our own.
type outgoing struct {
	from, to string
	name     string // tells it from all others, and stays when it is sent again
	content  []byte
}

// mailer sends mail of our own: the way mail to the same address goes that is handed
// to us, or into a folder where there is none.
type mailer struct {
	cfg    *Config
	rules  *relay.Relay
	store  *maildir.Store
	sign   *signing // nil where nothing is signed
	folder string
}

// send returns where o has gone.
func (m *mailer) send(ctx context.Context, o outgoing) (where string, err error) {
	if m.sign != nil {
		fields, err := m.sign.signer.SignAuthor(ctx, bytes.NewReader(o.content), m.sign.keys)
		if err != nil {
			return "", err
		}
		o.content = append([]byte(strings.Join(fields, "")), o.content...)
	}
	d := m.rules.Decide(relay.Client{}, o.to)
	if d.Kind == relay.Local {
		return "mailbox", m.deliver(ctx, o, d)
	}
	route := m.cfg.routeOf(d)
	if route.Address == "" {
		sum := sha256.Sum256([]byte(o.name + " " + o.to))
		file := filepath.Join(m.folder, fmt.Sprintf("%x.eml", sum[:16]))
		return file, writeFile(file, o.content, 0o600)
	}
	return route.Address, m.hand(ctx, o, route)
}

// deliver puts o into the Maildir of a user of ours.
func (m *mailer) deliver(ctx context.Context, o outgoing, d relay.Decision) error {
	known, err := m.cfg.rules().Recipients(ctx, d.Addr())
	if err != nil {
		return err
	}
	if !known && !strings.EqualFold(d.LocalPart, "postmaster") {
		return errors.New("no such recipient here")
	}
	staged, err := m.store.Stage(bytes.NewReader(o.content), maildir.Delivery{
		Mailbox: path.Join(maildir.Name(m.cfg.home(d)), maildir.Name(maildir.User(d.LocalPart))),
		Header:  "Return-Path: <" + quoted(o.from) + ">\r\nDelivered-To: " + quoted(d.Addr()) + "\r\n",
	})
	if err != nil {
		return err
	}
	defer staged.Discard()
	return staged.Commit()
}

// hand gives o to the next host.
func (m *mailer) hand(ctx context.Context, o outgoing, route Route) error {
	client, err := dial(ctx, route, m.cfg.Hostname)
	if err != nil {
		return err
	}
	next := &onward{route: route, client: client}
	defer next.close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	if err := client.Mail(quoted(o.from), nil); err != nil {
		return err
	}
	if err := next.rcpt(o.to); err != nil {
		return err
	}
	return next.data(bytes.NewReader(o.content))
}

// aggregateMail is an aggregate report as mail (RFC 9990, section 3.5.2).
func aggregateMail(cfg *Config, a report.Attachment, to string, now time.Time) outgoing {
	r := &cfg.Reports
	const boundary = "=_smtpguard" // which base64 does not have, nor the text
	var b bytes.Buffer
	field := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	field("From", (&mail.Address{Name: r.config(cfg, nil).Reporter.Organization, Address: r.Email}).String())
	field("To", (&mail.Address{Address: to}).String())
	field("Subject", strings.NewReplacer(" Submitter:", "\r\n Submitter:", " Report-ID:", "\r\n Report-ID:").Replace(a.Subject))
	field("Date", now.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	field("Message-ID", "<"+a.ID+">")
	field("Auto-Submitted", "auto-generated") // RFC 3834, section 5
	field("MIME-Version", "1.0")
	field("Content-Type", "multipart/mixed; boundary=\""+boundary+"\"")
	b.WriteString("\r\n--" + boundary + "\r\n")
	field("Content-Type", "text/plain; charset=us-ascii")
	fmt.Fprintf(&b, "\r\nThis is an aggregate report of DMARC (RFC 9990), from %s.\r\n", cfg.Hostname)
	b.WriteString("\r\n--" + boundary + "\r\n")
	field("Content-Type", a.MediaType)
	field("Content-Transfer-Encoding", "base64")
	field("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.Name}))
	b.WriteString("\r\n")
	for text := base64.StdEncoding.EncodeToString(a.Content); text != ""; {
		n := min(len(text), 76)
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	b.WriteString("--" + boundary + "--\r\n")
	return outgoing{from: r.Email, to: to, name: a.ID, content: b.Bytes()}
}
