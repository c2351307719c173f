package limiter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard"
)

// Rates limits how much comes in a time. It is safe for concurrent use.
type Rates struct {
	cfg   RatesConfig
	store Store
	conns smtpguard.Key[*connRates]
	txs   smtpguard.Key[*txRates]
}

// NewRates compiles cfg. It reports everything that is wrong with it, by field.
func NewRates(store Store, cfg RatesConfig) (*Rates, error) {
	if store == nil {
		return nil, errors.New("limiter: NewRates: store is nil")
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Rates{cfg: cfg, store: store}, nil
}

// Check returns r as a check. The rules of one stage, with all their windows, are
// decided in one round trip to the store; the first rule in order that is over a
// hard limit is the verdict. Several Rates on one store share what rules of the
// same name count.
func (r *Rates) Check() smtpguard.Check {
	return smtpguard.Check{
		Name:    "rates",
		OnError: r.cfg.OnError,
		Always:  true,
		Connect: func(ctx context.Context, conn *smtpguard.Conn) (smtpguard.Verdict, error) {
			return r.ask(ctx, &moment{stage: smtpguard.StageConnect, conn: conn})
		},
		Hello: func(ctx context.Context, conn *smtpguard.Conn) (smtpguard.Verdict, error) {
			return r.ask(ctx, &moment{stage: smtpguard.StageHello, conn: conn})
		},
		Auth: func(ctx context.Context, conn *smtpguard.Conn, _ *smtpguard.AuthAttempt) (smtpguard.Verdict, error) {
			return r.ask(ctx, &moment{stage: smtpguard.StageAuth, conn: conn})
		},
		Mail: func(ctx context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
			return r.ask(ctx, &moment{stage: smtpguard.StageMail, conn: tx.Conn(), tx: tx})
		},
		Rcpt: func(ctx context.Context, tx *smtpguard.Transaction, rcpt *smtpguard.Recipient) (smtpguard.Verdict, error) {
			return r.ask(ctx, &moment{stage: smtpguard.StageRcpt, conn: tx.Conn(), tx: tx, rcpt: rcpt})
		},
		Data: func(ctx context.Context, tx *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
			return r.ask(ctx, &moment{stage: smtpguard.StageData, conn: tx.Conn(), tx: tx, size: m.Size()})
		},
		Done:  r.done,
		Close: r.close,
	}
}

// moment is when rules are asked.
type moment struct {
	stage smtpguard.Stage // 0 after the last reply of a transaction or a connection
	conn  *smtpguard.Conn
	tx    *smtpguard.Transaction // from MAIL on
	rcpt  *smtpguard.Recipient   // at RCPT
	size  int64                  // octets, at the end of the content
}

// applies reports whether the rule is for the client.
func (r *Rule) applies(m *moment) bool {
	return (r.Only.empty() || r.Only.fits(m.conn, m.tx, m.rcpt)) && !r.Exempt.fits(m.conn, m.tx, m.rcpt)
}

// key is what the rule counts apart at m, and the key that stands for it in a
// full store. ok is false when that is not known.
func (r *Rates) key(rule *Rule, m *moment) (key, overflow string, ok bool) {
	var b strings.Builder
	b.WriteString("rates/" + rule.Name)
	if len(rule.By) == 0 {
		b.WriteString("/all")
	}
	for i, by := range rule.By {
		value := r.value(by, rule.Bits, m)
		if value == "" {
			return "", "", false
		}
		b.WriteByte("/+"[min(i, 1)])
		b.WriteString(string(by) + "=" + value)
		if by == ByClient {
			overflow = "rates/" + rule.Name + "/many=" + network(wide(m.conn.Addr()))
		}
	}
	return b.String(), overflow, true
}

// value is what by counts at m, fit for a key; "" when that is not known.
func (r *Rates) value(by By, bits Bits, m *moment) string {
	var s string
	switch by {
	case ByClient:
		return network(bits.of(m.conn.Addr()))
	case ByLogin:
		login, _ := m.conn.Login()
		s = fold(login)
	case ByHello:
		s = host(m.conn.Hello())
	case ByTenant:
		s = r.cfg.Tenant(m.conn, m.tx)
	case ByFrom, ByFromDomain:
		if m.tx != nil && m.tx.From() != "" {
			s = mailbox(m.tx.From())
		}
	case ByTo, ByToDomain:
		if m.rcpt != nil {
			s = mailbox(m.rcpt.Addr)
		}
	}
	if by == ByFromDomain || by == ByToDomain {
		s = s[strings.LastIndexByte(s, '@')+1:]
	}
	if s == "" {
		return ""
	}
	return part(s)
}

// batch is what all rules ask at one moment.
type batch struct {
	asks []Ask
	of   []wish // of each ask
}

// wish is what a rule wants of one ask.
type wish struct {
	rule *Rule
	at   int // the rule's place
	n    int // units that count for the rule once they are spent
	need int // units that must be left: of what is looked at, and of what has happened
}

// gather lists what is to be asked at m. Units are those pending on the
// connection and the transaction.
func (r *Rates) gather(m *moment, c *connRates, t *txRates) batch {
	var b batch
	for i := range r.cfg.Rules {
		rule := &r.cfg.Rules[i]
		w := wish{rule: rule, at: i}
		w.n, w.need = pending(rule, i, m, c, t)
		if w.n <= 0 && w.need <= 0 {
			continue
		}
		if !rule.applies(m) {
			continue
		}
		key, overflow, ok := r.key(rule, m)
		if !ok {
			continue
		}
		for _, l := range rule.Limits {
			b.asks = append(b.asks, Ask{
				Key: key, Limit: l, N: max(w.n, 0), Overflow: overflow,
				Force: rule.Unit.happened() || rule.Effect.soft(), Debt: rule.Debt,
			})
			b.of = append(b.of, w)
		}
	}
	return b
}

// over reports whether ask i is over its limit.
func (b *batch) over(i int, st State) bool {
	if b.of[i].need > 0 {
		return st.Left < b.of[i].need
	}
	return !st.OK
}

// ask asks all rules at m.
func (r *Rates) ask(ctx context.Context, m *moment) (smtpguard.Verdict, error) {
	c, t := r.of(m)
	b := r.gather(m, c, t)
	if len(b.asks) == 0 {
		return smtpguard.Verdict{}, nil
	}
	states, err := take(ctx, r.store, b.asks)
	if err != nil {
		return smtpguard.Verdict{}, err
	}
	if late := b.note(states, m, c, t); len(late) > 0 { // nobody waits for this hook any more
		ctx, cancel := lasting(ctx)
		defer cancel()
		_, err := take(ctx, r.store, late)
		return smtpguard.Verdict{}, err
	}
	var soft smtpguard.Verdict
	var delay time.Duration
	for i, st := range states {
		if !b.over(i, st) {
			continue
		}
		rule := b.of[i].rule
		v := exceeded(rule, &b.asks[i], b.of[i].need, st, m.stage)
		if !rule.Effect.soft() {
			return v, nil
		}
		if soft.Reason == "" {
			soft = v
		}
		if rule.Effect == Slow {
			delay = max(delay, st.Retry)
		}
	}
	if delay > 0 {
		held := r.cfg.Tarpit.Delay(ctx, m.conn, delay)
		soft.Facts["held"] = held.Round(time.Millisecond).String()
	}
	return soft, nil
}

// lasting is ctx for what must be written although ctx has ended, or will.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

// take asks store, in portions where there is more than it takes at once: that
// is only of what is given back.
func take(ctx context.Context, store Store, asks []Ask) ([]State, error) {
	var states []State
	for some := range slices.Chunk(asks, MaxAsks) {
		s, err := store.Take(ctx, some)
		if err != nil {
			return nil, err
		}
		if len(s) != len(some) {
			return nil, fmt.Errorf("limiter: a store has %d states for %d asks", len(s), len(some))
		}
		if states == nil {
			states = s
		} else {
			states = append(states, s...)
		}
	}
	return states, nil
}
