package report

import "time"

// Namespace is that of RFC 9990's XML.
const Namespace = "urn:ietf:params:xml:ns:dmarc-2.0"

// Feedback is an aggregate report.
type Feedback struct {
	Organization string    `json:"organization"`
	Email        string    `json:"email"`
	Contact      string    `json:"contact,omitempty"`
	ID           string    `json:"id"`
	Begin        time.Time `json:"begin"`
	End          time.Time `json:"end"` // its last second
	Error        string    `json:"error,omitempty"`
	Generator    string    `json:"generator,omitempty"`
	Policy       Policy    `json:"policy"`
	Rows         []Row     `json:"rows,omitempty"`
}

// Summary adds up reports. The zero Summary is empty.
type Summary struct {
	Reports  int   `json:"reports"`
	Messages int64 `json:"messages"`
	Passed   int64 `json:"passed"` // DMARC: SPF or DKIM, in alignment
	DKIM     int64 `json:"dkim"`   // of those that passed, by DKIM
	SPF      int64 `json:"spf"`    // by SPF

	Quarantined int64 `json:"quarantined"`
	Rejected    int64 `json:"rejected"`
	Overridden  int64 `json:"overridden"` // with a reason
}

// Add adds the rows of f.
func (s *Summary) Add(f *Feedback) {
	s.Reports++
	for i := range f.Rows {
		s.addRow(&f.Rows[i])
	}
}

func (s *Summary) addRow(r *Row) {
	s.Messages += r.Count
	if r.DKIMAligned || r.SPFAligned {
		s.Passed += r.Count
	}
	if r.DKIMAligned {
		s.DKIM += r.Count
	}
	if r.SPFAligned {
		s.SPF += r.Count
	}
	switch r.Disposition {
	case DispositionQuarantine:
		s.Quarantined += r.Count
	case DispositionReject:
		s.Rejected += r.Count
	}
	if len(r.Reasons) > 0 {
		s.Overridden += r.Count
	}
}
