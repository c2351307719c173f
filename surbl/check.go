package surbl

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/dnslist"
)

// Run tests the zones, at once and then as Config.Health has it, until ctx ends:
// what is always listed, what never is, and a name nobody could know. A zone
// that fails is set aside until it passes. Run returns ctx's error. Without Run
// only what lookups show sets a zone aside.
func (l *Lists) Run(ctx context.Context) error {
	lists := make([]*dnslist.List, len(l.zones))
	for i, z := range l.zones {
		lists[i] = &z.list
	}
	return l.asker.Run(ctx, lists, nil)
}

// Check returns l as a check of inbound mail: 550 5.7.1 for a message that links
// to what is listed, or whose reverse-path is a listed mail address. Mail of a
// proven login is left to [Lists.Outbound]. Its
// failures never keep mail out.
func (l *Lists) Check() smtpguard.Check {
	return smtpguard.Check{
		Name:    l.cfg.Name,
		OnError: smtpguard.FailOpen,
		Data: func(ctx context.Context, tx *smtpguard.Transaction, msg *smtpguard.Message) (smtpguard.Verdict, error) {
			if _, ok := tx.Conn().Login(); ok {
				return smtpguard.Verdict{}, nil
			}
			return l.judge(ctx, tx, msg)
		},
	}
}

// Outbound returns l as a check of mail that accounts send: what links to what
// is listed is refused as by [Lists.Check], and Config.Observe hears a warning
// that names the account, so that it can be stopped; Config.Unseen counts here,
// too. Mail without a proven login
// is left to Check.
func (l *Lists) Outbound() smtpguard.Check {
	return smtpguard.Check{
		Name:    l.cfg.Name + "-outbound",
		OnError: smtpguard.FailOpen,
		Data: func(ctx context.Context, tx *smtpguard.Transaction, msg *smtpguard.Message) (smtpguard.Verdict, error) {
			login, ok := tx.Conn().Login()
			if !ok {
				return smtpguard.Verdict{}, nil
			}
			v, err := l.judge(ctx, tx, msg)
			if err == nil && v.Action > smtpguard.Continue {
				what, event := "listed links", "listed-link"
				if len(l.ResultOf(tx).Listings) == 0 {
					what, event = "more links than are looked up", "unseen-links"
				}
				l.tell(smtpguard.Event{
					Time: time.Now(), Kind: smtpguard.KindWarning, Check: l.cfg.Name + "-outbound",
					Conn: tx.Conn().ID(), Transaction: tx.ID(), Client: tx.Conn().Addr(), Login: login, From: tx.From(),
					Action: v.Action, Reason: fmt.Sprintf("account %q sends %s: %s", login, what, v.Reason),
					Facts: map[string]string{"event": event},
				})
			}
			return v, err
		},
	}
}

// ResultOf returns what the checks found in the message of tx; nil before its
// end.
func (l *Lists) ResultOf(tx *smtpguard.Transaction) *Result {
	res, _ := l.key.Get(tx)
	return res
}

// maxReasons bounds the listings that a verdict names.
const maxReasons = 8

func (l *Lists) judge(ctx context.Context, tx *smtpguard.Transaction, msg *smtpguard.Message) (v smtpguard.Verdict, err error) {
	links, err := l.extract.Extract(msg.Open())
	if err != nil {
		return v, err
	}
	res := l.look(ctx, links, tx.From())
	l.key.Set(tx, res)
	for _, f := range res.Failures {
		v.Facts = fact(v.Facts, f.Zone, "failed: "+clean(f.Err.Error()))
	}
	if n := res.Links.More + res.Unasked; n > 0 || res.Links.Cut {
		v.Facts = fact(v.Facts, "unseen", fmt.Sprintf("%d URIs or questions more than there is room for, %d of what may be listed; content left unread: %v", n, res.Links.Unseen+res.Unasked, res.Links.Cut))
	}
	for _, u := range res.Links.Unread {
		v.Facts = fact(v.Facts, "unread", clean(u.String()))
	}
	for _, u := range res.Unfollowed {
		v.Facts = fact(v.Facts, "unfollowed", u.String())
	}
	var decider *Listing
	v.Action, v.Score, decider = l.tally(res)
	var reasons []string
	for _, missing := range []struct {
		n    int
		what string
	}{{res.Unseen, "links not looked up"}, {len(res.Links.Unread), "parts not read"}, {len(res.Unfollowed), "links not followed"}, {len(res.Failures), "questions not answered"}} {
		if missing.n > 0 {
			reasons = append(reasons, fmt.Sprintf("%s: %d", missing.what, missing.n))
		}
	}
	for i := range res.Listings {
		li := &res.Listings[i]
		v.Facts = fact(v.Facts, li.Zone, fmt.Sprintf("%s: %v", clean(li.Subject), li.Answers))
		if i < maxReasons {
			reasons = append(reasons, li.String())
		}
	}
	if n := len(res.Listings) - maxReasons; n > 0 {
		reasons = append(reasons, fmt.Sprintf("and %d more", n))
	}
	v.Reason = strings.Join(reasons, "; ")
	if decider != nil {
		v.Reply = decider.reply(v.Action)
	} else if v.Reply = reply(v.Action); v.Reply != nil {
		v.Reply.Message = cmp.Or(l.cfg.Unseen.Reply, "Message has more links than are looked up")
	}
	return v, nil
}

// String is the listing in words: "hxxp://evil[.]example/ (link): evil.example
// is listed by multi.surbl.org (phishing)". It has nothing but printable ASCII.
func (li *Listing) String() string {
	s := li.defang()
	switch {
	case li.URI != nil && li.URI.Hidden != 0:
		s += fmt.Sprintf(" (%v, %v): %s", li.URI.Kind, li.URI.Hidden, clean(li.Subject))
	case li.URI != nil:
		s += fmt.Sprintf(" (%v): %s", li.URI.Kind, clean(li.Subject))
	case li.File != nil:
		s += ": " + li.Subject
	}
	s += " is listed by " + li.Zone
	var means []string
	for _, c := range li.Codes {
		if c.Means != "" {
			means = append(means, c.Means)
		}
	}
	if len(means) > 0 {
		s += " (" + strings.Join(means, ", ") + ")"
	}
	return s
}

// defang is what li is about, for people to read and not to follow.
func (li *Listing) defang() string {
	switch {
	case li.Wallet != nil:
		return fmt.Sprintf("%s wallet %s", li.Wallet.Currency, li.Wallet.Text)
	case li.File != nil:
		name := cmp.Or(li.File.Name, li.File.Type)
		return "file " + clean(name[:min(len(name), 100)])
	}
	return li.URI.Defang()
}

// reply is the code of an action, nil for one that does not object.
func reply(a smtpguard.Action) *smtp.SMTPError {
	r := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}}
	switch a {
	case smtpguard.Reject:
	case smtpguard.Disconnect:
		r.Code, r.EnhancedCode[0] = 421, 4
	case smtpguard.Defer:
		r.Code, r.EnhancedCode[0] = 451, 4
	default:
		return nil
	}
	return r
}

// reply is what the client reads where li decides.
func (li *Listing) reply(a smtpguard.Action) *smtp.SMTPError {
	r := reply(a)
	if r == nil {
		return nil
	}
	var most *Code
	for i := range li.Codes {
		if c := &li.Codes[i]; most == nil || c.Action > most.Action || c.Action == most.Action && c.Weight > most.Weight {
			most = c
		}
	}
	template := most.Reply
	if template == "" {
		template = "Message links to {uri}, listed by {zone}"
		switch {
		case li.URI == nil:
			template = "Message has {uri}, listed by {zone}"
		case li.URI.Mailbox != "":
			template = "Message names {uri}, listed by {zone}"
		}
		if most.Means != "" {
			template += ": {means}"
		}
	}
	r.Message = clean(strings.NewReplacer("{uri}", li.defang(), "{subject}", li.Subject, "{zone}", li.Zone, "{means}", most.Means).Replace(template))
	return r
}

// fact adds to what a verdict rests on.
func fact(facts map[string]string, zone, what string) map[string]string {
	if facts == nil {
		facts = make(map[string]string)
	}
	if old := facts[zone]; old != "" {
		if what = old + "; " + what; len(what) > 600 {
			what = old
		}
	}
	facts[zone] = what
	return facts
}

// told passes on that a zone was set aside or taken back.
func (l *Lists) told(c dnslist.Change) {
	ev := smtpguard.Event{Time: c.At, Check: l.cfg.Name, Kind: smtpguard.KindWarning,
		Reason: c.List.Name + " is set aside: " + clean(c.Why), Facts: map[string]string{"event": "aside", "zone": c.List.Name}}
	if c.Now == dnslist.Well {
		ev.Kind, ev.Reason, ev.Facts["event"] = smtpguard.KindNote, c.List.Name+" is taken back", "back"
	}
	l.tell(ev)
}

// tell reports an event. A panic of who hears it is dropped: it is nobody's
// mail's fault.
func (l *Lists) tell(ev smtpguard.Event) {
	if l.cfg.Observe == nil {
		return
	}
	defer func() { _ = recover() }()
	l.cfg.Observe(ev)
}
