package failure

import (
	"bytes"
	"net/mail"
	"slices"
	"strings"
)

// exim reads the text that Exim sends instead of a feedback report, and reports
// whether it is one: lines of a name and a value, and then the header section.
func (w *walk) exim() bool {
	r := &w.report
	text, header, _ := bytes.Cut(w.text, []byte("------"))
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		value = unfold([]byte(value))
		value = value[:min(len(value), maxValue)]
		switch strings.TrimSpace(name) {
		case "Sender Domain":
			r.Domain = word(strings.ToLower(value))
		case "Sender IP Address":
			r.Source = source(value)
		case "Received date":
			if t, err := mail.ParseDate(value); err == nil {
				r.Arrived = t
			}
		case "SPF Alignment", "DKIM Alignment":
			method, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(name)), " ")
			if value == "no" && !slices.Contains(r.Unaligned, method) {
				r.Unaligned = append(r.Unaligned, method)
			}
		}
	}
	if r.Domain == "" || !r.Source.IsValid() {
		return false
	}
	r.Failure = DMARC
	if _, header, _ = bytes.Cut(header, []byte("\n")); r.Header == nil {
		header, _ = split(bytes.TrimLeft(header, "\r\n"))
		r.Header = header[:min(len(header), w.limits.Header)]
	}
	return true
}
