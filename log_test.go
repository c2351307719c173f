package smtpguard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// full has every field of an Event set.
var full = Event{
	Time: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), Kind: KindVerdict,
	Conn: "c-1", Transaction: "c-1.1", Listener: "mx", Client: netip.MustParseAddr("192.0.2.1"),
	Hello: "mx.example.net", Login: "demo", TLS: "TLS 1.3 TLS_AES_128_GCM_SHA256 x25519",
	Stage: StageRcpt, Check: "dnsbl", Parent: "score/together", Action: Reject, Accept: ScopeHook, Score: 2.5,
	Reason: "listed", Facts: map[string]string{"zone": "bl.example", "answer": "127.0.0.2"}, Rcpt: "b@example.org",
	Duration: 1500 * time.Microsecond, Error: "e", Stack: "s", Shadow: true,
	From: "a@example.net", Recipients: []string{"b@example.org"}, Refused: []string{"d@example.org"}, Size: 100, Reply: "550 5.7.1 Refused by policy", Delivered: true,
	Checks:    []CheckResult{{Check: "dnsbl", Stage: StageConnect, Action: Quarantine, Shadow: true, Reason: "listed", Duration: 3}, {Check: "spf", Stage: StageMail}},
	Mechanism: "PLAIN",
}

const fullJSON = `{"time":"2026-05-04T03:02:01Z","kind":"verdict","conn":"c-1","transaction":"c-1.1","listener":"mx","client":"192.0.2.1",` +
	`"hello":"mx.example.net","login":"demo","tls":"TLS 1.3 TLS_AES_128_GCM_SHA256 x25519","stage":"rcpt","check":"dnsbl","parent":"score/together","action":"reject","accept":"hook","score":2.5,` +
	`"reason":"listed","facts":{"answer":"127.0.0.2","zone":"bl.example"},"rcpt":"b@example.org","duration_ns":1500000,"error":"e","stack":"s","shadow":true,` +
	`"from":"a@example.net","recipients":["b@example.org"],"refused":["d@example.org"],"size":100,"reply":"550 5.7.1 Refused by policy","delivered":true,` +
	`"checks":[{"check":"dnsbl","stage":"connect","action":"quarantine","shadow":true,"reason":"listed","duration_ns":3},` +
	`{"check":"spf","stage":"mail","action":"continue","duration_ns":0}],"mechanism":"PLAIN"}`

func TestEventJSONIsStable(t *testing.T) {
	for v, i := reflect.ValueOf(full), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("field %s is not in this test", v.Type().Field(i).Name)
		}
	}
	for _, tt := range []struct {
		ev   Event
		want string
	}{
		{full, fullJSON},
		{Event{Time: full.Time, Kind: KindConnect}, `{"time":"2026-05-04T03:02:01Z","kind":"connect"}`},
	} {
		got, err := json.Marshal(tt.ev)
		if err != nil || string(got) != tt.want {
			t.Errorf("%v\n%s\nwant\n%s", err, got, tt.want)
		}
	}
}

// logged is what LogEvents makes of evs, a line each, without times.
func logged(evs ...Event) string {
	var b bytes.Buffer
	observe := LogEvents(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		},
	})))
	for _, ev := range evs {
		observe(ev)
	}
	return b.String()
}

func TestLogLines(t *testing.T) {
	client := netip.MustParseAddr("2001:db8::1")
	for _, tt := range []struct {
		ev   Event
		want string
	}{
		{Event{
			Kind: KindTransaction, Conn: "c-1", Transaction: "c-1.1", Listener: "mx", Client: client, Hello: "mx.example.net", Login: "demo",
			Recipients: []string{"b@example.org", "c@example.org"}, Size: 42, Reply: "250", Delivered: true, Stage: StageData, Duration: time.Second,
			Checks: []CheckResult{
				{Check: "score/dnsbl", Stage: StageConnect, Action: Quarantine, Reason: "listed", Duration: 12345678},
				{Check: "shadow/spf", Stage: StageMail, Action: Reject, Shadow: true, Duration: time.Millisecond},
			},
		}, `level=INFO msg=transaction conn=c-1 transaction=c-1.1 listener=mx client=2001:db8::1 hello=mx.example.net login=demo stage=data from=<> ` +
			`recipients="[b@example.org c@example.org]" size=42 checks="[score/dnsbl connect quarantine 12.346ms: listed shadow/spf mail reject 1ms shadow]" ` +
			`reply=250 delivered=true duration=1s`},
		{Event{Kind: KindVerdict, Conn: "c-1", Stage: StageHello, Check: "name", Action: Reject, Reason: "odd", Facts: map[string]string{"b": "2", "a": "1"}},
			`level=INFO msg=objection conn=c-1 stage=hello check=name action=reject reason=odd facts="[a=1 b=2]"`},
		{Event{Kind: KindVerdict, Stage: StageHello, Check: "name", Parent: "shadow", Action: Defer, Shadow: true, Score: 1.5},
			`level=INFO msg=objection stage=hello check=name parent=shadow shadow=true action=defer score=1.5`},
		{Event{Kind: KindVerdict, Stage: StageHello, Check: "fine"}, ""},
		{Event{Kind: KindVerdict, Stage: StageRcpt, Check: "name", Action: Reject, Transaction: "c-1.1"}, ""}, // the transaction's line tells
		{Event{Kind: KindVerdict, Stage: StageRcpt, Check: "open", Error: "no answer", Transaction: "c-1.1", Rcpt: "b@example.org"},
			`level=WARN msg="check failed" transaction=c-1.1 stage=rcpt check=open action=continue rcpt=b@example.org error="no answer"`},
		{Event{Kind: KindVerdict, Stage: StageRcpt, Check: "bad", Action: Defer, Error: "panic: boom", Stack: "a.go"},
			`level=ERROR msg="check panicked" stage=rcpt check=bad action=defer error="panic: boom" stack=a.go`},
		{Event{Kind: KindWarning, Check: "bad", Reason: "Done hook panicked", Stack: "a.go"}, `level=ERROR msg=panic check=bad reason="Done hook panicked" stack=a.go`},
		{Event{Kind: KindWarning, Reason: "no Listener"}, `level=WARN msg=warning reason="no Listener"`},
		{Event{Kind: KindNote, Reason: "odd"}, `level=INFO msg=note reason=odd`},
		{Event{Kind: KindAuth, Stage: StageAuth, Login: "demo", Mechanism: "PLAIN", Action: Reject, Error: "wrong"},
			`level=INFO msg=auth login=demo mechanism=PLAIN stage=auth action=reject error=wrong`},
		{Event{Kind: KindConnect, Client: client}, `level=DEBUG msg=connect client=2001:db8::1`},
		{Event{Kind: KindConnect, TLS: "TLS 1.3"}, `level=DEBUG msg=connect tls="TLS 1.3"`},
	} {
		if got := strings.TrimSuffix(logged(tt.ev), "\n"); got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
}

// raw is the most careless handler there is.
type raw struct{ bytes.Buffer }

func (h *raw) Enabled(context.Context, slog.Level) bool { return true }
func (h *raw) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *raw) WithGroup(string) slog.Handler            { return h }
func (h *raw) Handle(_ context.Context, r slog.Record) error {
	h.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(h, " %s=%v", a.Key, a.Value)
		return true
	})
	return nil
}

// hostile returns an event of kind with s in every text there is.
func hostile(kind Kind, s string) Event {
	ev := Event{
		Kind: kind, Facts: map[string]string{s: s}, Recipients: []string{s}, Refused: []string{s}, Score: 1,
		Checks: []CheckResult{{Check: s, Reason: s, Action: Reject}},
		Stage:  StageHello, Action: Reject,
	}
	v := reflect.ValueOf(&ev).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String && v.Type().Field(i).Name != "Kind" {
			f.SetString(s)
		}
	}
	if kind == KindVerdict {
		ev.Transaction = ""
	}
	return ev
}

func TestLogEscapesWhateverTheHandler(t *testing.T) {
	for _, s := range []string{
		"a\r\nb", "\x00", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\xff\xfe", "a\tb", "é\xc3",
		strings.Repeat("x", maxLogStack+1) + "\n", strings.Repeat("é", maxLogStack) + "\n", strings.Repeat("\x80", 2*maxLogStack),
	} {
		for _, kind := range []Kind{KindVerdict, KindTransaction, KindAuth, KindNote, KindWarning, KindConnect, KindClose, Kind(s)} {
			h := &raw{}
			LogEvents(slog.New(h))(hostile(kind, s))
			got := h.String()
			if got == "" {
				t.Fatalf("%q of kind %q is not logged", s, kind)
			}
			if !utf8.ValidString(got) {
				t.Errorf("%.20q: broken UTF-8 in %.200q", s, got)
			}
			if i := strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("%.20q: kind %q: unprintable at %.40q", s, kind, got[i:])
			}
			// Some 20 values and the stack, each at most four times as long when quoted.
			if len(got) > 4*(20*maxLogValue+maxLogStack) {
				t.Errorf("%.20q: %d octets in a line", s, len(got))
			}
		}
	}
}

func TestClean(t *testing.T) {
	for _, tt := range []struct {
		in   string
		max  int
		want string
	}{
		{"", 8, ""},
		{"plain, with <marks> \\ é 世", 99, "plain, with <marks> \\ é 世"},
		{"a\nb", 8, `"a\nb"`},
		{`"a\nb"`, 8, `"\"a\\nb\""`}, // cannot be mistaken for the one above
		{"12345678", 8, "12345678"},
		{"123456789", 8, "12345678..."},
		{"1234567é9", 8, "1234567..."},
		{"1234567\n9", 8, `"1234567\n"...`},
	} {
		if got := clean(tt.in, tt.max); got != tt.want {
			t.Errorf("clean(%q, %d) = %s, want %s", tt.in, tt.max, got, tt.want)
		}
	}
	long := make([]string, maxLogList+7)
	if got := list(long); len(got) != maxLogList+1 || got[maxLogList] != "and 7 more" {
		t.Errorf("list of %d: %q", len(got), got[len(got)-1])
	}
}

func TestObservers(t *testing.T) {
	var got []string
	note := func(name string) func(Event) { return func(ev Event) { got = append(got, name+" "+ev.Conn) } }
	fs := []func(Event){note("a"), nil, note("b")}
	observe := Observers(fs...)
	fs[0] = nil
	observe(Event{Conn: "1"})
	if want := []string{"a 1", "b 1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
