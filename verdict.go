package smtpguard

import (
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"
)

// Action is what a verdict does to the session, weakest first.
type Action int

const (
	Continue   Action = iota // nothing to object
	Quarantine               // deliver, marked
	Defer                    // 4yz: try again later
	Reject                   // 5yz: never
	Disconnect               // 421, and hang up
)

var actionNames = [...]string{"continue", "quarantine", "defer", "reject", "disconnect"}

// String returns the action's name in lower case.
func (a Action) String() string {
	if a < 0 || int(a) >= len(actionNames) {
		return "invalid"
	}
	return actionNames[a]
}

// MarshalText makes an action a word in JSON.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// objects reports whether the action refuses what the client asked for.
func (a Action) objects() bool { return a >= Defer }

// Scope is how far an allow list's word reaches. It never passes over checks
// marked Always. What a Hello hook says of the connection ends with the next
// EHLO, what an Auth hook says begins when the login is proven, and both end
// with STARTTLS.
type Scope int

const (
	NoScope          Scope = iota // no word
	ScopeHook                     // skip the other checks of this hook call
	ScopeTransaction              // and of what is left of this transaction
	ScopeConnection               // and of what is left of this connection
)

var scopeNames = [...]string{"", "hook", "transaction", "connection"}

// String returns the scope's name in lower case, and "" for NoScope.
func (s Scope) String() string {
	if s < 0 || int(s) >= len(scopeNames) {
		return "invalid"
	}
	return scopeNames[s]
}

// MarshalText makes a scope a word in JSON.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Verdict is what a check has to say. The zero Verdict is Continue.
type Verdict struct {
	Action Action
	Accept Scope             // an allow list's word: skip what is not Always
	Reply  *smtp.SMTPError   // what the client reads; nil means the action's default
	Reason string            // what the operator reads; never sent
	Score  float64           // for Score
	Facts  map[string]string // what the judgement rests on, for events: a zone, an answer

	by string // the check it came from, below a combinator its path
}

// reply is short for a reply of three parts.
func reply(code int, ec smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: ec, Message: text}
}

// defaultReply is what the client reads where a verdict has no Reply of its
// own. Codes: RFC 5321, section 4.2.3; RFC 4954, section 6; RFC 3463.
func defaultReply(a Action, stage Stage) *smtp.SMTPError {
	switch a {
	case Disconnect:
		return reply(421, smtp.EnhancedCode{4, 7, 0}, "Closing connection")
	case Reject:
		switch stage {
		case StageConnect:
			return reply(554, smtp.EnhancedCode{5, 7, 1}, "No service for you")
		case StageAuth:
			return reply(535, smtp.EnhancedCode{5, 7, 8}, "Authentication refused")
		case StageData:
			return reply(554, smtp.EnhancedCode{5, 7, 1}, "Message refused")
		}
		return reply(550, smtp.EnhancedCode{5, 7, 1}, "Refused by policy")
	}
	switch stage {
	case StageConnect:
		return reply(421, smtp.EnhancedCode{4, 7, 0}, "Try again later")
	case StageAuth:
		return reply(454, smtp.EnhancedCode{4, 7, 0}, "Try again later")
	}
	return reply(451, smtp.EnhancedCode{4, 7, 1}, "Try again later")
}

// failed is the reply for a hook that failed: it names no internals.
func failed(f Failure, stage Stage) *smtp.SMTPError {
	switch {
	case f == FailRefuse:
		return reply(554, smtp.EnhancedCode{5, 3, 0}, "Cannot be judged, refused")
	case stage == StageConnect:
		return reply(421, smtp.EnhancedCode{4, 3, 0}, "Temporary failure, try again later")
	case stage == StageAuth:
		return reply(454, smtp.EnhancedCode{4, 3, 0}, "Temporary failure, try again later")
	}
	return failure()
}

// failure is what the client reads when something of ours, or the backend,
// failed.
func failure() *smtp.SMTPError {
	return reply(451, smtp.EnhancedCode{4, 3, 0}, "Temporary failure, try again later")
}

// authFailure is failure at AUTH, where go-smtp's own code is 454.
func authFailure() *smtp.SMTPError {
	return reply(454, smtp.EnhancedCode{4, 7, 0}, "Authentication failed")
}

// maxReplyText bounds the text of one reply line: 512 octets with code,
// enhanced code and CRLF (RFC 5321, section 4.5.3.1.5).
const maxReplyText = 490

// reply makes what the client reads of v at stage: its own Reply where the code
// fits the action, cleaned, with the operator's contact line.
func (v *Verdict) reply(stage Stage, contact string) *smtp.SMTPError {
	r := v.Reply
	if r == nil || !v.fits(r.Code, stage) {
		r = defaultReply(v.Action, stage)
	}
	ec := r.EnhancedCode
	if ec != smtp.EnhancedCodeNotSet && ec != smtp.NoEnhancedCode && ec[0] != r.Code/100 {
		ec = smtp.EnhancedCodeNotSet // RFC 2034, section 4: the class must match
	}
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: ec, Message: signed(r.Message, contact)}
}

// signed is text cleaned, with the operator's contact line behind it.
func signed(text, contact string) string {
	text = cleanReply(text, maxReplyText)
	if contact != "" {
		contact = cleanReply(contact, maxReplyText/2)
		text = cleanReply(text, maxReplyText-len(contact)-2) + "; " + contact
	}
	return text
}

// fits reports whether code may carry out v's action at stage.
func (v *Verdict) fits(code int, stage Stage) bool {
	switch v.Action {
	case Disconnect:
		return code == 421 || code/100 == 5 && code < 600
	case Reject:
		return code/100 == 5
	default:
		return code/100 == 4 && (code != 421 || stage == StageConnect)
	}
}

// cleanReply makes remote or configured text fit for one reply line: printable
// ASCII only, at most max octets.
func cleanReply(s string, max int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == '\r':
			return -1
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)
	if max < 0 {
		max = 0
	}
	if len(clean) > max {
		clean = clean[:max]
	}
	return clean
}

// replyText is r as one line of text, for events.
func replyText(r *smtp.SMTPError) string {
	if r.EnhancedCode == smtp.EnhancedCodeNotSet || r.EnhancedCode == smtp.NoEnhancedCode {
		return fmt.Sprintf("%d %s", r.Code, r.Message)
	}
	return fmt.Sprintf("%d %d.%d.%d %s", r.Code, r.EnhancedCode[0], r.EnhancedCode[1], r.EnhancedCode[2], r.Message)
}
