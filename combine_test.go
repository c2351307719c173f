package smtpguard

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// visit is one session without a server: checks are asked by judge, and every
// event is kept.
type visit struct {
	t      *testing.T
	env    *env
	conn   *Conn
	tx     *Transaction
	mu     sync.Mutex
	events []Event
}

func newVisit(t *testing.T) *visit {
	v := &visit{t: t, conn: &Conn{prefix: "t", addr: netip.MustParseAddr("192.0.2.1")}}
	g := &Guard{}
	g.cfg.Observe = func(ev Event) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.events = append(v.events, ev)
	}
	v.env = &env{guard: g}
	return v
}

// ask asks c as the guard does: it passes over checks without a hook, and, when
// an allow list has spoken, over those not marked Always.
func (v *visit) ask(c Check, sc *scene) Verdict {
	v.t.Helper()
	if c.err != nil {
		v.t.Fatal(c.err)
	}
	sc.conn, sc.tx = v.conn, v.tx
	if !v.env.asks(&c, sc.stage) {
		return Verdict{}
	}
	return judge(v.t.Context(), v.env, &c, sc)
}

func (v *visit) connect(c Check) Verdict { return v.ask(c, &scene{stage: StageConnect}) }
func (v *visit) hello(c Check) Verdict   { return v.ask(c, &scene{stage: StageHello}) }
func (v *visit) auth(c Check, login string) Verdict {
	return v.ask(c, &scene{stage: StageAuth, auth: &AuthAttempt{Mechanism: "PLAIN", Claimed: login}})
}
func (v *visit) mail(c Check) Verdict {
	v.tx = v.conn.open("a@example.org", &smtp.MailOptions{})
	return v.ask(c, &scene{stage: StageMail})
}
func (v *visit) rcpt(c Check, to string) Verdict {
	r := &Recipient{Addr: to, Opts: &smtp.RcptOptions{}}
	got := v.ask(c, &scene{stage: StageRcpt, rcpt: r})
	if !got.Action.objects() {
		v.tx.add(r)
	}
	return got
}
func (v *visit) data(c Check) Verdict {
	m := &Message{}
	v.tx.message = m
	return v.ask(c, &scene{stage: StageData, msg: m})
}

// heard lists the verdicts reported: "parent/check action", with what is marked.
func (v *visit) heard() (out []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, ev := range v.events {
		s := ev.Check + " " + ev.Action.String()
		if ev.Parent != "" {
			s = ev.Parent + "/" + s
		}
		if ev.Shadow {
			s += " shadow"
		}
		if ev.Error != "" {
			s += " failed"
		}
		out = append(out, s)
	}
	return out
}

func (v *visit) wantHeard(want ...string) {
	v.t.Helper()
	if got := v.heard(); !slices.Equal(got, want) {
		v.t.Errorf("events %q, want %q", got, want)
	}
}

func want(t *testing.T, got Verdict, action Action) {
	t.Helper()
	if got.Action != action {
		t.Errorf("%v (%s), want %v", got.Action, got.Reason, action)
	}
}

// every is a check that gives v at all stages.
func every(name string, v Verdict) Check {
	return Check{
		Name:    name,
		Connect: func(context.Context, *Conn) (Verdict, error) { return v, nil },
		Hello:   func(context.Context, *Conn) (Verdict, error) { return v, nil },
		Auth:    func(context.Context, *Conn, *AuthAttempt) (Verdict, error) { return v, nil },
		Mail:    func(context.Context, *Transaction) (Verdict, error) { return v, nil },
		Rcpt:    func(context.Context, *Transaction, *Recipient) (Verdict, error) { return v, nil },
		Data:    func(context.Context, *Transaction, *Message) (Verdict, error) { return v, nil },
	}
}

// at is a check with one Conn hook alone.
func at(stage Stage, name string, f func(context.Context, *Conn) (Verdict, error)) Check {
	if stage == StageConnect {
		return Check{Name: name, Connect: f}
	}
	return Check{Name: name, Hello: f}
}

func always(c Check) Check                 { c.Always = true; return c }
func onError(f Failure, c Check) Check     { c.OnError = f; return c }
func says(a Action, reason string) Verdict { return Verdict{Action: a, Reason: reason} }

// wrappers are the combinators as functions of one check that does nothing
// else.
var wrappers = map[string]func(Check) Check{
	"when":     func(c Check) Check { return When(func(*Conn, *Transaction, *Recipient) bool { return true }, c) },
	"together": func(c Check) Check { return Together(c, Check{Name: "idle"}) },
	"beside":   func(c Check) Check { return Together(c, every("fine", Verdict{})) },
	"score":    func(c Check) Check { return Score(ScoreLimits{}, c) },
	"late":     func(c Check) Check { return Late(StageConnect, c) },
	"timeout":  func(c Check) Check { return Timeout(1<<40, c) },
}

func TestCompositesHandOnWhatTheirChildSays(t *testing.T) {
	said := map[string]Verdict{
		"disconnect": says(Disconnect, "x"), "reject": says(Reject, "x"), "defer": says(Defer, "x"),
		"quarantine": says(Quarantine, "x"), "continue": {},
		"accept": {Accept: ScopeTransaction}, "score": {Score: 2.5},
	}
	for outerName, outer := range wrappers {
		for innerName, inner := range wrappers {
			for name, v := range said {
				t.Run(outerName+"/"+innerName+"/"+name, func(t *testing.T) {
					c := outer(inner(every("leaf", v)))
					s := newVisit(t)
					for stage, got := range []Verdict{s.connect(c), s.hello(c), s.auth(c, ""), s.mail(c), s.rcpt(c, "b@example.org"), s.data(c)} {
						if got.Action != v.Action || got.Accept != v.Accept || got.Score != v.Score {
							t.Errorf("stage %v: %+v, want %+v", Stage(stage+1), got, v)
						}
					}
				})
			}
		}
	}
}

func TestShadowWhereverItIsCountsForNothing(t *testing.T) {
	for name, wrap := range wrappers {
		for where, c := range map[string]Check{
			"outside": Shadow(wrap(every("leaf", Verdict{Action: Reject, Accept: ScopeConnection, Score: 9}))),
			"inside":  wrap(Shadow(every("leaf", Verdict{Action: Reject, Accept: ScopeConnection, Score: 9}))),
		} {
			t.Run(where+" "+name, func(t *testing.T) {
				s := newVisit(t)
				for stage, got := range []Verdict{s.connect(c), s.hello(c), s.auth(c, ""), s.mail(c), s.rcpt(c, "b@example.org"), s.data(c)} {
					if !reflect.DeepEqual(got, Verdict{}) {
						t.Errorf("stage %v: %+v", Stage(stage+1), got)
					}
				}
				leaves := 0
				for _, ev := range s.events {
					if ev.Check == "leaf" {
						leaves++
						if !ev.Shadow || ev.Action != Reject {
							t.Errorf("reported as %+v", ev)
						}
					}
				}
				if leaves != 6 {
					t.Errorf("leaf reported %d times, want once a stage", leaves)
				}
			})
		}
	}
}

func TestCompositesKeepAlwaysAndOnError(t *testing.T) {
	for name, wrap := range wrappers {
		t.Run(name, func(t *testing.T) {
			plain, marked := wrap(every("leaf", says(Reject, "x"))), wrap(always(every("leaf", says(Reject, "x"))))
			if plain.Always || !marked.Always {
				t.Errorf("Always is %v and %v", plain.Always, marked.Always)
			}
			s := newVisit(t)
			s.env.accepted = true
			want(t, s.connect(plain), Continue)
			want(t, s.connect(marked), Reject)
			for _, f := range []Failure{FailDefer, FailRefuse, FailOpen} {
				c := wrap(onError(f, every("leaf", Verdict{})))
				if got := c.OnError; got != f && !(name == "together" || name == "beside") {
					t.Errorf("OnError %v became %v", f, got)
				}
				c = wrap(onError(f, at(StageConnect, "leaf", func(context.Context, *Conn) (Verdict, error) { panic("boom") })))
				want(t, newVisit(t).connect(c), verdictOf(f, StageConnect, errors.New("")).Action)
			}
		})
	}
	strict := Together(onError(FailOpen, every("a", Verdict{})), every("b", Verdict{}), onError(FailRefuse, every("c", Verdict{})))
	if strict.OnError != FailRefuse {
		t.Errorf("OnError of the strictest child is %v", strict.OnError)
	}
}

func TestAcceptPassesOverChildrenNotAlways(t *testing.T) {
	for name, c := range map[string]Check{
		"together": Together(every("list", says(Reject, "list")), always(every("limit", says(Defer, "limit")))),
		"score":    Score(ScoreLimits{}, every("list", says(Reject, "list")), always(every("limit", says(Defer, "limit")))),
		"nested":   When(yes, Late(StageConnect, Together(every("list", says(Reject, "list")), always(every("limit", says(Defer, "limit")))))),
	} {
		t.Run(name, func(t *testing.T) {
			s := newVisit(t)
			want(t, s.connect(c), Reject)
			s.env.accepted = true
			want(t, s.connect(c), Defer)
		})
	}
}

func TestCompositesHaveOnlyTheHooksTheyNeed(t *testing.T) {
	hooks := func(c Check) (names []string) {
		for s := StageConnect; s <= StageData; s++ {
			if c.has(s) {
				names = append(names, s.String())
			}
		}
		v := reflect.ValueOf(c)
		for _, n := range []string{"AuthDone", "Done", "Close"} {
			if !v.FieldByName(n).IsNil() {
				names = append(names, n)
			}
		}
		return names
	}
	hello := at(StageHello, "leaf", func(context.Context, *Conn) (Verdict, error) { return Verdict{}, nil })
	for _, tt := range []struct {
		c    Check
		want string
	}{
		{When(yes, hello), "hello"},
		{Shadow(hello), "hello"},
		{Timeout(1, hello), "hello"},
		{Together(hello, Check{Name: "b", Close: func(*Conn) {}}), "hello Close"},
		{Score(ScoreLimits{}, hello), "hello rcpt"},
		{Score(ScoreLimits{Stage: StageAuth}, hello), "hello auth mail"},
		{Late(StageRcpt, hello), "hello rcpt"},
		{Late(StageAuth, hello), "hello auth mail"},
	} {
		if got := strings.Join(hooks(tt.c), " "); got != tt.want {
			t.Errorf("%s has %s, want %s", tt.c.Name, got, tt.want)
		}
	}
}

func TestAccountingReachesEveryChild(t *testing.T) {
	var got []string
	child := func(name string) Check {
		note := func(hook string) {
			got = append(got, name+" "+hook)
			if name == "b" {
				panic(name)
			}
		}
		return Check{
			Name:     name,
			AuthDone: func(context.Context, *Conn, *AuthAttempt) { note("authdone") },
			Done:     func(context.Context, *Transaction, Outcome) { note("done") },
			Close:    func(*Conn) { note("close") },
		}
	}
	never := func(*Conn, *Transaction, *Recipient) bool { return false }
	c := When(never, Shadow(Late(StageRcpt, Timeout(1, Together(child("a"), child("b"), Score(ScoreLimits{}, child("c")))))))
	s := newVisit(t)
	s.mail(c)
	panics := func(f func()) {
		t.Helper()
		defer func() {
			if p := recover(); p != "b" {
				t.Errorf("the guard sees panic %v, want b's", p)
			}
		}()
		f()
	}
	panics(func() { c.AuthDone(t.Context(), s.conn, &AuthAttempt{}) })
	panics(func() { c.Done(t.Context(), s.tx, Outcome{}) })
	panics(func() { c.Close(s.conn) })
	want := []string{"a authdone", "b authdone", "c authdone", "a done", "b done", "c done", "a close", "b close", "c close"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNewReportsWhatACombinatorWasGiven(t *testing.T) {
	ok := every("ok", Verdict{})
	for _, tt := range []struct {
		c    Check
		want string // "" when nothing is wrong
	}{
		{Together(ok, When(yes, Score(ScoreLimits{Reject: 5}, Late(StageData, Timeout(1, Shadow(ok)))))), ""},
		{When(nil, ok), "when has no Predicate"},
		{When(yes, Check{}), "when: check 0 has no Name"},
		{Shadow(Check{}), "shadow: check 0 has no Name"},
		{Together(), "together has no checks"},
		{Together(ok, Check{}), "together: check 1 has no Name"},
		{Score(ScoreLimits{}), "score has no checks"},
		{Score(ScoreLimits{Stage: 9}, ok), "ScoreLimits.Stage is 9"},
		{Score(ScoreLimits{Stage: -1}, ok), "ScoreLimits.Stage is -1"},
		{Score(ScoreLimits{Quarantine: -1}, ok), "ScoreLimits.Quarantine is -1"},
		{Score(ScoreLimits{Reject: math.NaN()}, ok), "ScoreLimits.Reject is NaN"},
		{Late(0, ok), "late: 0 is no Stage"},
		{Late(7, ok), "late: 7 is no Stage"},
		{Timeout(0, ok), "timeout of 0s"},
		{Timeout(-1, ok), "timeout of -1ns"},
		{When(yes, onError(7, ok)), `when: check "ok": OnError is 7`},
		{Late(StageRcpt, Shadow(Together(ok, Timeout(-1, ok)))), "timeout of -1ns"},
	} {
		_, err := New(Config{}, tt.c)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("New(%s) says %v, want %q", tt.c.Name, err, tt.want)
		}
	}
}

func TestCallerMayReuseTheSliceOfChecks(t *testing.T) {
	cs := []Check{every("a", says(Reject, "a")), every("b", Verdict{})}
	c := Together(cs...)
	cs[0] = Check{}
	want(t, newVisit(t).connect(c), Reject)
}
