package dnsbl

import (
	"context"
	"fmt"
	"strings"

	"github.com/smtpguard/smtpguard"
)

// keys are where the check leaves results: what was looked up at Connect and at
// EHLO on the connection, the rest on the transaction.
type keys struct{ connect, hello, mail, data smtpguard.Key[Result] }

// Check returns l as a check: 550 5.7.1 for who is listed, 554 5.7.1 at
// Connect. Its failures never keep mail out: a zone that is away is not a
// listing.
//
// The client's address is looked up as it connects, the EHLO name and the
// reverse-path domain at MAIL, or where Config.Judge is StageConnect or
// StageHello the EHLO name at EHLO; the content at its end. Each verdict's
// score is the sum of the weights of what is first judged there.
func (l *Lists) Check() smtpguard.Check {
	c := smtpguard.Check{Name: l.cfg.Name, OnError: smtpguard.FailOpen}
	if len(l.at[Client]) > 0 {
		c.Connect = l.connected
	}
	if l.cfg.Judge <= smtpguard.StageHello {
		c.Hello = l.greeted
	}
	if l.cfg.Judge != smtpguard.StageHello && l.cfg.Judge != smtpguard.StageConnect || len(l.at[Sender]) > 0 {
		c.Mail = l.mail
	}
	if l.cfg.Judge == smtpguard.StageRcpt {
		c.Rcpt = l.rcpt
	}
	if l.cfg.Judge == smtpguard.StageData || len(l.at[Author])+len(l.at[Received]) > 0 {
		c.Data = l.data
	}
	return c
}

// Results are what the check found so far: of the connection, and of tx where
// it is not nil. What is still being looked up is not among it.
func (l *Lists) Results(conn *smtpguard.Conn, tx *smtpguard.Transaction) []Result {
	var out []Result
	for _, k := range []*smtpguard.Key[Result]{&l.keys.connect, &l.keys.hello} {
		if res, ok := k.Get(conn); ok {
			out = append(out, res)
		}
	}
	if tx == nil {
		return out
	}
	for _, k := range []*smtpguard.Key[Result]{&l.keys.mail, &l.keys.data} {
		if res, ok := k.Get(tx); ok {
			out = append(out, res)
		}
	}
	return out
}

// judged is a result, and whether it was judged at an earlier stage.
type judged struct {
	Result
	before bool
}

func (l *Lists) connected(ctx context.Context, conn *smtpguard.Conn) (smtpguard.Verdict, error) {
	q := &questions{known: l.cfg.Known(conn)}
	q.addr(l.at[Client], Client, conn.Addr())
	if len(q.list) == 0 {
		return smtpguard.Verdict{}, nil
	}
	if l.cfg.Judge != smtpguard.StageConnect {
		l.keys.connect.Start(conn, func(ctx context.Context) (Result, error) { return l.ask(ctx, q, 0, l.alone), nil })
		return smtpguard.Verdict{}, nil
	}
	res := l.ask(ctx, q, 0, true)
	l.keys.connect.Set(conn, res)
	return l.verdict(ctx, conn, smtpguard.StageConnect, judged{Result: res}), nil
}

// greeted asks at EHLO where Config.Judge is no later.
func (l *Lists) greeted(ctx context.Context, conn *smtpguard.Conn) (smtpguard.Verdict, error) {
	before, err := l.await(ctx, conn)
	if err != nil {
		return smtpguard.Verdict{}, err
	}
	first := judged{before, l.cfg.Judge == smtpguard.StageConnect}
	q := &questions{known: l.cfg.Known(conn)}
	failed := l.hello(ctx, conn, q)
	res := l.ask(ctx, q, before.Score, true)
	res.Failures = append(res.Failures, failed...)
	l.keys.hello.Set(conn, res)
	return l.verdict(ctx, conn, smtpguard.StageHello, first, judged{Result: res}), nil
}

// hello adds the questions about what the client is called.
func (l *Lists) hello(ctx context.Context, conn *smtpguard.Conn, q *questions) []Failure {
	q.domain(l.at[Hello], Hello, conn.Hello())
	if len(l.at[ReverseName]) == 0 {
		return nil
	}
	names, err := l.cfg.ReverseNames(ctx, conn)
	if err != nil {
		return []Failure{{Subject: "reverse names", Err: err}}
	}
	for _, name := range names[:min(len(names), maxReverseNames)] {
		q.domain(l.at[ReverseName], ReverseName, name)
	}
	return nil
}

// await waits for what was begun at Connect.
func (l *Lists) await(ctx context.Context, conn *smtpguard.Conn) (Result, error) {
	if len(l.at[Client]) == 0 {
		return Result{}, nil
	}
	res, err := l.keys.connect.Wait(ctx, conn)
	if err == smtpguard.ErrNotStarted {
		return res, nil // no listener brought the connection, or there was nothing to ask
	}
	return res, err
}

func (l *Lists) mail(ctx context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
	conn := tx.Conn()
	early := l.cfg.Judge <= smtpguard.StageHello
	ask := func(ctx context.Context, prior float64, hurry bool) Result {
		q := &questions{known: l.cfg.Known(conn)}
		var failed []Failure
		if !early {
			failed = l.hello(ctx, conn, q)
		}
		q.domain(l.at[Sender], Sender, domainOf(tx.From()))
		res := l.ask(ctx, q, prior, hurry)
		res.Failures = append(res.Failures, failed...)
		return res
	}
	if l.cfg.Judge > smtpguard.StageMail {
		if len(l.at[Hello])+len(l.at[ReverseName])+len(l.at[Sender]) > 0 {
			l.keys.mail.Start(tx, func(ctx context.Context) (Result, error) { return ask(ctx, 0, l.alone), nil })
		}
		return smtpguard.Verdict{}, nil
	}
	before, err := l.await(ctx, conn)
	if err != nil {
		return smtpguard.Verdict{}, err
	}
	hello, _ := l.keys.hello.Get(conn)
	res := ask(ctx, before.Score+hello.Score, true)
	l.keys.mail.Set(tx, res)
	return l.verdict(ctx, conn, smtpguard.StageMail, judged{before, early}, judged{hello, true}, judged{Result: res}), nil
}

func (l *Lists) rcpt(ctx context.Context, tx *smtpguard.Transaction, _ *smtpguard.Recipient) (smtpguard.Verdict, error) {
	before, res, err := l.awaitBoth(ctx, tx)
	if err != nil {
		return smtpguard.Verdict{}, err
	}
	return l.verdict(ctx, tx.Conn(), smtpguard.StageRcpt, judged{Result: before}, judged{Result: res}), nil
}

func (l *Lists) awaitBoth(ctx context.Context, tx *smtpguard.Transaction) (before, res Result, err error) {
	if before, err = l.await(ctx, tx.Conn()); err != nil {
		return before, res, err
	}
	if res, err = l.keys.mail.Wait(ctx, tx); err == smtpguard.ErrNotStarted {
		err = nil
	}
	return before, res, err
}

func (l *Lists) data(ctx context.Context, tx *smtpguard.Transaction, msg *smtpguard.Message) (smtpguard.Verdict, error) {
	before, mail, err := l.awaitBoth(ctx, tx)
	if err != nil {
		return smtpguard.Verdict{}, err
	}
	hello, _ := l.keys.hello.Get(tx.Conn())
	q := &questions{known: l.cfg.Known(tx.Conn())}
	if len(l.at[Author]) > 0 {
		for _, name := range authors(msg) {
			q.domain(l.at[Author], Author, name)
		}
	}
	if len(l.at[Received]) > 0 {
		for _, addr := range hops(msg, l.cfg.Hops) {
			q.addr(l.at[Received], Received, addr)
		}
	}
	last := l.cfg.Judge == smtpguard.StageData
	res := l.ask(ctx, q, before.Score+hello.Score+mail.Score, true)
	l.keys.data.Set(tx, res)
	return l.verdict(ctx, tx.Conn(), smtpguard.StageData,
		judged{before, !last}, judged{hello, !last}, judged{mail, !last}, judged{Result: res}), nil
}

// maxReasons bounds the listings that a verdict names.
const maxReasons = 8

// verdict is what results say together at stage.
func (l *Lists) verdict(ctx context.Context, conn *smtpguard.Conn, stage smtpguard.Stage, results ...judged) (v smtpguard.Verdict) {
	known := l.cfg.Known(conn)
	counts := func(li *Listing) bool { return !known || li.zone.Known }
	var t tally
	var prior float64
	var reasons []string
	for i := range results {
		res := &results[i]
		if res.before {
			before := res.tally(counts)
			prior += before.score
			continue
		}
		for _, f := range res.Failures {
			v.Facts = fact(v.Facts, f.Zone, "failed: "+clean(f.Err.Error(), maxText))
		}
		for j := range res.Listings {
			li := &res.Listings[j]
			if !counts(li) {
				continue
			}
			t.add(li)
			v.Facts = fact(v.Facts, li.Zone, fmt.Sprintf("%v %s: %v", li.Position, li.Subject, li.Answers))
			if len(reasons) < maxReasons {
				reasons = append(reasons, li.String())
			}
		}
	}
	if t.decider.listing == nil {
		return v
	}
	v.Action, v.Accept, v.Score = t.outcome(&l.cfg.Limits, prior), t.accept, rounded(t.score)
	if sum := rounded(t.score + prior); v.Action > t.action {
		reasons = append(reasons, fmt.Sprintf("sum %g", sum))
	}
	if v.Action != smtpguard.Continue {
		var text string
		if t.decider.wantsText() {
			text = l.text(ctx, t.decider.listing)
		}
		v.Reply = t.decider.reply(v.Action, stage, text)
		if text != "" {
			reasons = append(reasons, t.decider.listing.Zone+" says: "+text)
		}
	}
	v.Reason = strings.Join(reasons, "; ")
	return v
}

// fact adds to what a verdict rests on.
func fact(facts map[string]string, zone, what string) map[string]string {
	if facts == nil {
		facts = make(map[string]string)
	}
	if old := facts[zone]; old != "" && len(old) < 2*maxText {
		what = old + "; " + what
	}
	facts[zone] = what
	return facts
}

// domainOf is the domain of a mail address, "" for none.
func domainOf(addr string) string {
	return addr[strings.LastIndexByte(addr, '@')+1:]
}
