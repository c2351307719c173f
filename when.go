package smtpguard

import (
	"context"
	"errors"
)

// Predicate is a condition on a session. The transaction is nil before MAIL,
// the recipient nil but at RCPT.
type Predicate func(*Conn, *Transaction, *Recipient) bool

// When asks c only where pred holds; it is evaluated again at each stage. A
// panic in pred is a failure of c. Accounting (AuthDone, Done, Close) reaches
// c in any case.
func When(pred Predicate, c Check) Check {
	w := combine("when", func(ctx context.Context, e *env, cs []Check, sc *scene) Verdict {
		c := &cs[0]
		if !e.asks(c, sc.stage) {
			return Verdict{}
		}
		ok, err := pred.holds(sc)
		if err != nil {
			return e.settle(ctx, c, sc, answer{err: err})
		}
		if !ok {
			return Verdict{}
		}
		return judge(ctx, e, c, sc)
	}, []Check{c})
	if pred == nil {
		w.err = errors.Join(w.err, errors.New("smtpguard: when has no Predicate"))
	}
	return w
}

func (p Predicate) holds(sc *scene) (ok bool, err error) {
	defer recovered(&err)
	return p(sc.conn, sc.tx, sc.rcpt), nil
}
