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
	"github.com/smtpguard/smtpguard/internal/watch"
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
	// must not block, and not close the Files.
	Observe func(smtpguard.Event)
}

// Files are the certificates of files. What changes there is taken over within
// seconds, or a minute where the file system tells nothing of changes, for new
// handshakes: connections stay. A pair that cannot be read,
// does not fit together, or whose key others may read, leaves the one before
// in its place. All methods are safe for concurrent use.
type Files struct {
	warn    time.Duration
	observe func(smtpguard.Event)
	table   atomic.Pointer[table]

	mu    sync.Mutex
	pairs []*pair

	watcher *watch.Watcher
	stop    chan struct{}
	once    sync.Once
}

// pair is a Pair in use.
type pair struct {
	Pair
	cert   *tls.Certificate
	tried  stamp // of what was last loaded, well or not
	failed bool

	failure, end reminder
}

// While files change, and for a while after, none is loaded: who has written
// one of a pair is going to write the other.
const (
	quiet    = time.Second
	mostWait = 10 * time.Second
)

// NewFiles loads the certificates and watches their files until Close. It
// reports every pair that is wrong. An expired certificate is none: it is better
// than no mail, and is reported.
func NewFiles(cfg FilesConfig) (*Files, error) {
	f, err := open(cfg)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range f.pairs {
		names = append(names, p.Certificate, p.Key)
	}
	f.watcher = watch.New(watch.Config{
		Files: names, Quiet: quiet, Most: mostWait,
		Changed: func() { f.reload(time.Now(), (*pair).changed) }, // reports to Observe
		Failed: func(err error) {
			ev := event(smtpguard.KindWarning, "changes of certificates are seen by a look each minute alone", nil)
			ev.Error = err.Error()
			f.tell([]smtpguard.Event{ev})
		},
	})
	f.reload(time.Now(), (*pair).changed) // since they were loaded
	go f.remind()
	return f, nil
}

// open is NewFiles without the watching.
func open(cfg FilesConfig) (*Files, error) {
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
	return f, nil
}

// Close ends the watching. The certificates stay in use.
func (f *Files) Close() {
	f.once.Do(func() { close(f.stop) })
	f.watcher.Close()
}

// remind looks at what time itself changes.
func (f *Files) remind() {
	f.lookAtEnds(time.Now())
	look := time.NewTicker(lookEach)
	defer look.Stop()
	for {
		select {
		case <-f.stop:
			return
		case now := <-look.C:
			f.reload(now, func(p *pair) bool { return p.failed }) // it may have become valid meanwhile
			f.lookAtEnds(now)
		}
	}
}

// changed reports whether the files have changed since they were loaded.
func (p *pair) changed() bool { return !p.stamp().equal(p.tried) }

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
