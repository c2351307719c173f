package iprev

import (
	"fmt"

	"github.com/smtpguard/smtpguard"
)

// Finding is something that an honest mail server seldom has.
type Finding uint8

const (
	ReverseNone      Finding = iota + 1 // the client's address has no name (permerror)
	ReverseMismatch                     // it has, and no name leads back to it (fail)
	ReverseTemporary                    // that could not be found out now (temperror)
	ReverseGeneric                      // all its names are made from the address, or of a kind that a provider gives to customers
	ReverseDynamic                      // all its names are of a kind that a provider gives to dial-up lines

	HelloSyntax      // neither a domain name nor an address literal (RFC 5321, section 4.1.1.1)
	HelloBareAddress // an address without brackets
	HelloUnqualified // one label, a name under .local and the like: no public name
	HelloNotClient   // an address literal, and not the client's
	HelloOurs        // our own name or address
	HelloUnknown     // a name without addresses (RFC 5321, section 2.3.5)
	HelloBogon       // a name that only has addresses of no public meaning
	HelloMismatch    // a name with addresses, none of them the client's
	HelloTemporary   // that could not be found out now
	HelloGeneric     // as ReverseGeneric
	HelloDynamic     // as ReverseDynamic

	SenderInvalid   // the domain of the reverse-path is no domain name
	SenderNoMail    // it has neither MX nor address, or does not exist
	SenderNullMX    // it says that it takes no mail (RFC 7505)
	SenderUnknown   // its MX hosts have no addresses
	SenderBogon     // they only have addresses of no public meaning
	SenderTemporary // that could not be found out now

	findings
)

var findingNames = [findings]string{
	"", "reverse-none", "reverse-mismatch", "reverse-temporary", "reverse-generic", "reverse-dynamic",
	"hello-syntax", "hello-bare-address", "hello-unqualified", "hello-not-client", "hello-ours", "hello-unknown", "hello-bogon",
	"hello-mismatch", "hello-temporary", "hello-generic", "hello-dynamic",
	"sender-invalid", "sender-no-mail", "sender-null-mx", "sender-unknown", "sender-bogon", "sender-temporary",
}

// String returns the finding's name, with hyphens.
func (f Finding) String() string {
	if f == 0 || f >= findings {
		return "invalid"
	}
	return findingNames[f]
}

// MarshalText makes a finding a word in JSON.
func (f Finding) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what String writes.
func (f *Finding) UnmarshalText(text []byte) error {
	for i, name := range findingNames {
		if i > 0 && name == string(text) {
			*f = Finding(i)
			return nil
		}
	}
	return fmt.Errorf("iprev: %.40q is no finding", text)
}

// Rule is what a finding does. The zero Rule is nothing.
type Rule struct {
	Action smtpguard.Action
	Score  float64
	Reply  string // what the client reads where the finding decides; "" means a text of ours
}

// DefaultRules are the rules of a check that has none. Who claims to be us, or
// sends from where no answer can go, is refused; everything else scores.
func DefaultRules() map[Finding]Rule {
	return map[Finding]Rule{
		ReverseNone:     {Score: 2},
		ReverseMismatch: {Score: 1.5},
		ReverseGeneric:  {Score: 1},
		ReverseDynamic:  {Score: 2},

		HelloSyntax:      {Score: 2},
		HelloBareAddress: {Score: 3},
		HelloUnqualified: {Score: 2},
		HelloNotClient:   {Score: 3},
		HelloOurs:        {Action: smtpguard.Reject},
		HelloUnknown:     {Score: 1.5},
		HelloBogon:       {Score: 2},
		HelloMismatch:    {Score: 0.2},
		HelloGeneric:     {Score: 1},
		HelloDynamic:     {Score: 1.5},

		SenderInvalid: {Action: smtpguard.Reject},
		SenderNoMail:  {Action: smtpguard.Reject},
		SenderNullMX:  {Action: smtpguard.Reject},
		SenderUnknown: {Action: smtpguard.Reject},
		SenderBogon:   {Action: smtpguard.Reject},
	}
}

// replies are the enhanced codes and texts of findings. Codes: RFC 3463,
// section 3.2; RFC 7372, section 3.3, for X.7.25; RFC 7505, section 4.2, for
// X.7.27.
var replies = [findings]struct {
	subject, detail int
	text            string
}{
	ReverseNone:      {7, 25, "Your address has no reverse DNS name"},
	ReverseMismatch:  {7, 25, "The reverse DNS name of your address does not lead back to it"},
	ReverseTemporary: {7, 25, "The reverse DNS of your address cannot be looked up"},
	ReverseGeneric:   {7, 25, "The reverse DNS name of your address is not that of a mail server"},
	ReverseDynamic:   {7, 25, "The reverse DNS name of your address is that of a dynamic one"},
	HelloSyntax:      {7, 1, "Your EHLO name is neither a domain name nor an address literal"},
	HelloBareAddress: {7, 1, "Your EHLO name is an address without brackets"},
	HelloUnqualified: {7, 1, "Your EHLO name is not fully qualified"},
	HelloNotClient:   {7, 1, "Your EHLO name is an address that is not yours"},
	HelloOurs:        {7, 1, "Your EHLO name is ours"},
	HelloUnknown:     {7, 1, "Your EHLO name has no address"},
	HelloBogon:       {7, 1, "Your EHLO name has no public address"},
	HelloMismatch:    {7, 1, "Your EHLO name does not lead to your address"},
	HelloTemporary:   {7, 1, "Your EHLO name cannot be looked up"},
	HelloGeneric:     {7, 1, "Your EHLO name is not that of a mail server"},
	HelloDynamic:     {7, 1, "Your EHLO name is that of a dynamic address"},
	SenderInvalid:    {1, 7, "The sender's domain is no domain name"},
	SenderNoMail:     {1, 8, "The sender's domain does not exist, or takes no mail"},
	SenderNullMX:     {7, 27, "The sender's domain says that it takes no mail"},
	SenderUnknown:    {1, 8, "The mail servers of the sender's domain have no addresses"},
	SenderBogon:      {1, 8, "The mail servers of the sender's domain have no public addresses"},
	SenderTemporary:  {1, 8, "The sender's domain cannot be looked up"},
}
