package tlsconf

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpguard/smtpguard"
)

// FilesConfig says which certificates a server has.
type FilesConfig struct {
	// Pairs are the certificates; at least one. A client gets one for the name that
	// it asks for, or else the first; of several for a name (ECDSA and RSA, say) the
	// first that it can verify.
	Pairs []Pair

	// Warn is how long before its end a certificate is reported. 0 means 14 days,
	// or a fifth of a shorter life.
	Warn time.Duration

	// Observe hears of certificates that were taken over (KindNote), that could not
	// be, and that are near their end or past it (KindWarning, once a day). It
	// must not block.
	Observe func(smtpguard.Event)
}

// Files are the certificates of files. What changes there is taken over within
// ten seconds, for new handshakes: connections stay. A pair that cannot be read,
// does not fit together, or whose key others may read, leaves the one before
// in its place. All methods are safe for concurrent use.
type Files struct {
	warn    time.Duration
	observe func(smtpguard.Event)
	table   atomic.Pointer[table]

	mu    sync.Mutex
	pairs []*pair

	stop chan struct{}
	once sync.Once
}

// pair is a Pair in use.
type pair struct {
	Pair
	cert   *tls.Certificate
	tried  stamp // of what was last loaded, well or not
	seen   stamp // of what was last looked at
	failed bool

	failure, end reminder
}

// pollEach is how often files are looked at. A change is loaded when the next
// look finds no other: by then whoever wrote one file has written both.
const pollEach = 5 * time.Second

// NewFiles loads the certificates and watches their files until Close. It
// reports every pair that is wrong. An expired certificate is none: it is better
// than no mail, and is reported.
func NewFiles(cfg FilesConfig) (*Files, error) {
	f := &Files{warn: cfg.Warn, observe: cfg.Observe, stop: make(chan struct{})}
	var errs []error
	if len(cfg.Pairs) == 0 {
		errs = append(errs, errors.New("tlsconf: FilesConfig.Pairs is empty"))
	}
	if cfg.Warn < 0 {
		errs = append(errs, fmt.Errorf("tlsconf: FilesConfig.Warn is %v: must not be negative", cfg.Warn))
	}
	for i, named := range cfg.Pairs {
		p := &pair{Pair: named, tried: named.stamp()}
		p.seen = p.tried
		var err error
		if p.cert, err = named.load(); err != nil {
			errs = append(errs, fmt.Errorf("tlsconf: FilesConfig.Pairs[%d]: %w", i, err))
		}
		f.pairs = append(f.pairs, p)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	f.table.Store(newTable(f.pairs))
	go f.watch()
	return f, nil
}

// Close ends the watching. The certificates stay in use.
func (f *Files) Close() { f.once.Do(func() { close(f.stop) }) }

func (f *Files) watch() {
	f.lookAtEnds(time.Now())
	poll, look := time.NewTicker(pollEach), time.NewTicker(lookEach)
	defer poll.Stop()
	defer look.Stop()
	for {
		select {
		case <-f.stop:
			return
		case now := <-poll.C:
			f.reload(now, (*pair).changed)
		case now := <-look.C:
			f.reload(now, func(p *pair) bool { return p.failed }) // it may have become valid meanwhile
			f.lookAtEnds(now)
		}
	}
}

// changed reports whether the files have changed, and are still.
func (p *pair) changed() bool {
	now := p.stamp()
	still := now.equal(p.seen)
	p.seen = now
	return still && !now.equal(p.tried)
}

// Reload loads all files now, where an operator cannot wait. Its error names
// the pairs that stay as they were.
func (f *Files) Reload() error { return f.reload(time.Now(), func(*pair) bool { return true }) }

// reload loads the pairs that want it.
func (f *Files) reload(now time.Time, wanted func(*pair) bool) error {
	f.mu.Lock()
	var errs []error
	var events []smtpguard.Event
	news := false
	for i, p := range f.pairs {
		if !wanted(p) {
			continue
		}
		p.tried = p.stamp()
		cert, err := p.load()
		if err == nil && !valid(cert, now) && valid(p.cert, now) {
			err = fmt.Errorf("%s: valid from %v to %v, which is not now", p.Certificate, cert.Leaf.NotBefore, cert.Leaf.NotAfter)
		}
		if p.failed = err != nil; p.failed {
			errs = append(errs, fmt.Errorf("tlsconf: Pairs[%d]: %w", i, err))
			if p.failure.due(err.Error(), now) {
				ev := event(smtpguard.KindWarning, "certificate not taken over, the one before stays", facts(p.cert.Leaf))
				ev.Error = err.Error()
				events = append(events, ev)
			}
			continue
		}
		p.failure.due("", now)
		if !cert.Leaf.Equal(p.cert.Leaf) {
			events = append(events, event(smtpguard.KindNote, "certificate taken over", facts(cert.Leaf)))
		}
		p.cert, news = cert, true // the chain may have changed alone
	}
	if news {
		f.table.Store(newTable(f.pairs))
	}
	f.mu.Unlock()
	f.tell(events)
	return errors.Join(errs...)
}

// lookAtEnds reports certificates that are near their end.
func (f *Files) lookAtEnds(now time.Time) {
	f.mu.Lock()
	var events []smtpguard.Event
	for _, p := range f.pairs {
		reason := ending(p.cert.Leaf, f.warn, now)
		what := ""
		if reason != "" {
			what = p.cert.Leaf.SerialNumber.String()
		}
		if p.end.due(what, now) {
			events = append(events, event(smtpguard.KindWarning, reason, facts(p.cert.Leaf)))
		}
	}
	f.mu.Unlock()
	f.tell(events)
}

func (f *Files) tell(events []smtpguard.Event) {
	if f.observe == nil {
		return
	}
	for _, ev := range events {
		f.observe(ev)
	}
}

// GetCertificate is for [ServerConfig.Certificates].
func (f *Files) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.table.Load().find(hello), nil
}

// GetClientCertificate is for [ClientConfig.Certificate]: it gives the first
// certificate that the server says it would take, and else none.
func (f *Files) GetClientCertificate(req *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	for _, cert := range f.table.Load().all {
		if req.SupportsCertificate(cert) == nil {
			return cert, nil
		}
	}
	return new(tls.Certificate), nil
}

// table finds certificates by name. It is never changed.
type table struct {
	all    []*tls.Certificate
	byName map[string][]*tls.Certificate
}

func newTable(pairs []*pair) *table {
	t := &table{byName: make(map[string][]*tls.Certificate)}
	for _, p := range pairs {
		t.all = append(t.all, p.cert)
		for _, name := range p.cert.Leaf.DNSNames {
			name = strings.ToLower(name)
			t.byName[name] = append(t.byName[name], p.cert)
		}
	}
	return t
}

// find returns the certificate for a client. A name that is nobody's gets the
// first: the name of an MX is not always what the sender asks for.
func (t *table) find(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := strings.ToLower(hello.ServerName)
	found := t.byName[name]
	if _, above, ok := strings.Cut(name, "."); ok && found == nil {
		found = t.byName["*."+above]
	}
	if len(t.all) == 1 {
		return t.all[0]
	}
	can := *hello
	can.ServerName = "" // it has been found, or is to be passed over
	for _, certs := range [][]*tls.Certificate{found, t.all} {
		for _, cert := range certs {
			if can.SupportsCertificate(cert) == nil {
				return cert
			}
		}
	}
	return t.all[0]
}
