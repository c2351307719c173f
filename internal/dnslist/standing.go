package dnslist

import (
	"context"
	"errors"
	"net"
	"time"
)

// Judge takes note of how l answered a lookup: err is what Read returned, or why
// there is no answer.
func (a *Asker) Judge(l *List, err error) {
	if err == nil {
		a.worked(l)
		return
	}
	var answer *AnswerError
	switch {
	case errors.Is(err, context.Canceled): // the client's doing, not the list's
	case errors.As(err, &answer) && answer.Trouble == Refused:
		a.stand(l, Refuses, answer.Error(), a.Retry)
	case answer != nil:
		l.suspect()
	case l.fails.Add(1) >= int64(a.Errors):
		a.stand(l, Away, because(err), a.Retry)
	}
}

// worked is told of a lookup that l answered as it should. Of one that was under
// way when l was set aside it makes nothing.
func (a *Asker) worked(l *List) {
	if l.fails.Load() != 0 {
		l.fails.Store(0)
	}
	if l.until.Load() == 0 || l.Aside() {
		return
	}
	if now, _, _ := l.Standing(); now == Away || now == Refuses { // of anything else an answer is no proof
		a.stand(l, Well, "", 0)
	}
}

// because is why a list is away, in words that are the same for all names.
func because(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &dns) && dns.IsTimeout:
		return "no answer in time"
	case errors.As(err, &dns):
		return dns.Err
	}
	return err.Error()
}

// stand notes how l stands from now on, not to be asked for the time d, and
// tells of a change.
func (a *Asker) stand(l *List, now Standing, why string, d time.Duration) {
	l.telling.Lock()
	defer l.telling.Unlock()
	var until int64
	if now != Well {
		until = max(time.Now().Add(d).UnixNano(), l.until.Load()) // a test may have said longer than a lookup does
	}
	l.until.Store(until)
	l.fails.Store(0)
	l.mu.Lock()
	was, since := l.now, l.since
	if was != now {
		l.now, l.why, l.since = now, why, time.Now()
	}
	change := Change{List: l, Now: now, Why: why, At: l.since, Since: since}
	l.mu.Unlock()
	if was == now {
		return
	}
	if now != Well {
		l.suspect()
	}
	if a.Told != nil {
		a.Told(change)
	}
}
