package smtpguard

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Observers returns an observer that hands each event to all of fs, in order.
// Nil ones are passed over.
func Observers(fs ...func(Event)) func(Event) {
	fs = slices.DeleteFunc(slices.Clone(fs), func(f func(Event)) bool { return f == nil })
	return func(ev Event) {
		for _, f := range fs {
			f(ev)
		}
	}
}

// LogEvents returns an observer that writes to l: one line for each
// transaction, with every check's word in it, one for each login, and one for
// each objection outside a transaction (Info); what is odd (Info); warnings and
// failed checks (Warn) and panics with their stack (Error); connections (Debug).
// Verdicts that count for nothing are marked shadow.
//
// Whatever the handler does, no value brings a control character, another
// unprintable one or broken UTF-8 into the log: a value that has any is
// quoted as a Go string. Values are bounded in length, lists in number.
func LogEvents(l *slog.Logger) func(Event) {
	return func(ev Event) {
		level, msg, ok := headline(&ev)
		ctx := context.Background()
		if ok && l.Enabled(ctx, level) {
			l.LogAttrs(ctx, level, msg, attrs(&ev)...)
		}
	}
}

// Bounds of what one line holds. The longest path is 254 octets, the longest
// reply line 512.
const (
	maxLogValue = 512
	maxLogStack = 16 << 10
	maxLogList  = 100
)

// headline says how, and whether, ev is logged.
func headline(ev *Event) (level slog.Level, msg string, ok bool) {
	switch {
	case ev.Stack != "" && ev.Kind == KindVerdict:
		return slog.LevelError, "check panicked", true
	case ev.Stack != "":
		return slog.LevelError, "panic", true
	case ev.Kind == KindVerdict && ev.Error != "":
		return slog.LevelWarn, "check failed", true
	}
	switch ev.Kind {
	case KindVerdict:
		// Within a transaction its own line tells.
		return slog.LevelInfo, "objection", ev.Action.objects() && ev.Transaction == ""
	case KindTransaction:
		return slog.LevelInfo, "transaction", true
	case KindAuth:
		return slog.LevelInfo, "auth", true
	case KindNote:
		return slog.LevelInfo, "note", true
	case KindWarning:
		return slog.LevelWarn, "warning", true
	case KindConnect, KindClose:
		return slog.LevelDebug, string(ev.Kind), true
	}
	return slog.LevelInfo, clean(string(ev.Kind), maxLogValue), true
}

// attrs lists what ev says, without what it leaves out.
func attrs(ev *Event) []slog.Attr {
	as := make([]slog.Attr, 0, 24)
	text := func(key, value string) {
		if value != "" {
			as = append(as, slog.String(key, clean(value, maxLogValue)))
		}
	}
	text("conn", ev.Conn)
	text("transaction", ev.Transaction)
	text("listener", ev.Listener)
	if ev.Client.IsValid() {
		text("client", ev.Client.String())
	}
	text("hello", ev.Hello)
	text("login", ev.Login)
	text("mechanism", ev.Mechanism)
	text("tls", ev.TLS)
	if ev.Stage != 0 {
		text("stage", ev.Stage.String())
	}
	text("check", ev.Check)
	text("parent", ev.Parent)
	if ev.Shadow {
		as = append(as, slog.Bool("shadow", true))
	}
	if ev.Kind == KindVerdict || ev.Action != Continue {
		text("action", ev.Action.String())
	}
	text("accept", ev.Accept.String())
	if ev.Score != 0 {
		as = append(as, slog.Float64("score", ev.Score))
	}
	text("reason", ev.Reason)
	if len(ev.Facts) > 0 {
		facts := make([]string, 0, len(ev.Facts))
		for _, k := range slices.Sorted(maps.Keys(ev.Facts)) {
			facts = append(facts, k+"="+ev.Facts[k])
		}
		as = append(as, slog.Any("facts", list(facts)))
	}
	if ev.Kind == KindTransaction {
		as = append(as, slog.String("from", "<"+clean(ev.From, maxLogValue)+">")) // "" is the null reverse-path
	} else {
		text("from", ev.From)
	}
	text("rcpt", ev.Rcpt)
	if ev.Kind == KindTransaction {
		as = append(as, slog.Any("recipients", list(ev.Recipients)))
		if len(ev.Refused) > 0 {
			as = append(as, slog.Any("refused", list(ev.Refused)))
		}
		as = append(as, slog.Int64("size", ev.Size))
		checks := make([]string, 0, len(ev.Checks))
		for i := range ev.Checks {
			checks = append(checks, ev.Checks[i].line())
		}
		as = append(as, slog.Any("checks", list(checks)))
	}
	text("reply", ev.Reply)
	if ev.Kind == KindTransaction {
		as = append(as, slog.Bool("delivered", ev.Delivered))
	}
	if ev.Duration != 0 {
		as = append(as, slog.Duration("duration", ev.Duration))
	}
	text("error", ev.Error)
	if ev.Stack != "" {
		as = append(as, slog.String("stack", clean(ev.Stack, maxLogStack)))
	}
	return as
}

// line is r in a few words: "dnsbl connect reject 12ms: listed".
func (r *CheckResult) line() string {
	s := fmt.Sprintf("%s %s %s %v", r.Check, r.Stage, r.Action, r.Duration.Round(time.Microsecond))
	if r.Shadow {
		s += " shadow"
	}
	if r.Reason != "" {
		s += ": " + r.Reason
	}
	return s
}

// list cleans values and bounds their number.
func list(values []string) []string {
	out := make([]string, 0, min(len(values), maxLogList+1))
	for i, v := range values {
		if i == maxLogList {
			return append(out, fmt.Sprintf("and %d more", len(values)-i))
		}
		out = append(out, clean(v, maxLogValue))
	}
	return out
}

// clean bounds s to max octets and quotes it where it has what is not to be
// printed. What begins with a quote is quoted too, so that nobody can feign it.
func clean(s string, max int) string {
	more := ""
	if len(s) > max {
		cut := max
		for cut > max-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s, more = s[:cut], "..."
	}
	bad := func(r rune) bool { return !strconv.IsPrint(r) }
	if !utf8.ValidString(s) || strings.HasPrefix(s, `"`) || strings.ContainsFunc(s, bad) {
		s = strconv.Quote(s)
	}
	return s + more
}
