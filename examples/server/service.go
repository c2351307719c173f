package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/examples/server/internal/maildir"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/relay"
	"github.com/smtpguard/smtpguard/resolver"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// service is the running program: what outlives a reload.
type service struct {
	file   string // of the configuration, "" for none
	dir    string // of the data
	out    io.Writer
	errs   io.Writer // logs
	store  *maildir.Store
	kept   *kept
	socket map[string]*net.TCPListener // by address as configured
	gen    *generation

	force  context.Context // ends when connections are no longer waited for
	cancel context.CancelFunc
	old    sync.WaitGroup // generations that drain
}

// newService opens the data folder and the sockets of cfg, and serves.
func newService(file, dir string, cfg *Config, out, errs io.Writer) (*service, error) {
	s := &service{file: file, dir: dir, out: out, errs: errs, socket: make(map[string]*net.TCPListener)}
	s.force, s.cancel = context.WithCancel(context.Background())
	if err := os.MkdirAll(filepath.Join(dir, "spool"), 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.store, err = maildir.Open(filepath.Join(dir, "mail")); err != nil {
		return nil, err
	}
	for _, l := range cfg.Listeners {
		ln, err := net.Listen("tcp", l.Address)
		if err != nil {
			s.closeSockets()
			return nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		s.socket[l.Address] = ln.(*net.TCPListener)
	}
	if s.kept, err = newKept(cfg, dir, logger(cfg, errs)); err == nil {
		if err = s.begin(cfg); err != nil {
			s.kept.close()
		}
	}
	if err != nil {
		s.closeSockets()
		return nil, err
	}
	for _, l := range cfg.Listeners {
		fmt.Fprintf(out, "listening: %s on %s (%s, tls %s)\n", l.Name, l.Address, l.Kind, l.TLS)
	}
	return s, nil
}

// begin puts cfg in force, and lets what was in force before drain.
func (s *service) begin(cfg *Config) error {
	log := logger(cfg, s.errs)
	kit, err := newMaterial(cfg, s.dir, s.out, log)
	if err != nil {
		return err
	}
	gen, err := newGeneration(cfg, &backend{cfg: cfg, store: s.store, log: log}, kit, s.dir, s.kept, s.share)
	if err != nil {
		kit.close()
		return err
	}
	gen.serve(log)
	if old := s.gen; old != nil {
		old.retire() // before anybody is told that cfg is in force: who comes then comes under it
		s.old.Go(func() { old.shutdown(s.force) })
	}
	s.gen = gen
	return nil
}

// share returns a listener of its own on the socket for address: closing it
// leaves the socket open, and nobody is turned away between two generations.
func (s *service) share(address string) (net.Listener, error) {
	f, err := s.socket[address].File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

// reload puts the file in force as it is now, or keeps the old configuration.
func (s *service) reload() error {
	cfg, err := load(s.file)
	if err != nil {
		return err
	}
	addresses := func(cfg *Config) (all []string) {
		for _, l := range cfg.Listeners {
			all = append(all, l.Address)
		}
		slices.Sort(all)
		return all
	}
	if is, now := addresses(cfg), addresses(s.gen.cfg); !slices.Equal(is, now) {
		return fmt.Errorf("listeners: the addresses %v are to become %v: that takes a restart", now, is)
	}
	if cfg.Redis != s.gen.cfg.Redis || !slices.Equal(cfg.OwnNetworks, s.gen.cfg.OwnNetworks) {
		return errors.New("redis or own-networks changed: that takes a restart")
	}
	return s.begin(cfg)
}

// stop ends the service: open transactions get the time that the configuration
// gives them.
func (s *service) stop() {
	s.closeSockets()
	timer := time.AfterFunc(time.Duration(s.gen.cfg.Shutdown), s.cancel)
	defer timer.Stop()
	s.gen.shutdown(s.force)
	s.old.Wait()
	s.cancel()
	s.kept.close()
}

// kept is what outlives a reload: what has been spent of limits, and who is
// blocked.
type kept struct {
	limits  limiter.Store
	blocked *blocklist.Dynamic
	counts  counts
	ends    []func()
}

func newKept(cfg *Config, dir string, log *slog.Logger) (*kept, error) {
	k := new(kept)
	if err := makeListsDir(dir); err != nil {
		return nil, err
	}
	store, end, err := newStore(&cfg.Redis, log)
	if err != nil {
		return nil, err
	}
	k.limits, k.ends = store, append(k.ends, end)
	if k.blocked, end, err = newDynamic(cfg, dir, log); err != nil {
		k.close()
		return nil, err
	}
	k.ends = append(k.ends, end)
	return k, nil
}

func (k *kept) close() {
	for _, end := range slices.Backward(k.ends) {
		end()
	}
	k.counts.close()
}

func (s *service) closeSockets() {
	for _, ln := range s.socket {
		ln.Close()
	}
}

// material is what logins and TLS are made of.
type material struct {
	certificates *tlsconf.Files
	passwords    *auth.File
	secret       []byte
}

// newMaterial opens what cfg names, and makes in dir what it does not.
func newMaterial(cfg *Config, dir string, out io.Writer, log *slog.Logger) (m material, err error) {
	files, made, err := pairs(cfg, dir)
	if err != nil {
		return m, err
	}
	if !made.IsZero() {
		fmt.Fprintf(out, "certificate: %s (self-signed, for %s, until %s)\n", files[0].Certificate, cfg.Hostname, made.Format(time.DateOnly))
	}
	if m.secret, err = secret(dir); err != nil {
		return m, err
	}
	if m.certificates, err = tlsconf.NewFiles(tlsconf.FilesConfig{Pairs: files, Observe: smtpguard.LogEvents(log)}); err != nil {
		return m, fmt.Errorf("tls: %w", err)
	}
	if m.passwords, err = openPasswords(cfg, dir, out, log); err != nil {
		m.certificates.Close()
	}
	return m, err
}

func (m *material) close() {
	m.certificates.Close()
	_ = m.passwords.Close() // what was read stays in force
}

// generation is one configuration at work.
type generation struct {
	cfg       *Config
	kit       material
	own       *lists
	work      *background
	sign      *signing           // nil where nothing is signed
	reports   *reports           // nil where nothing is reported
	dns       *resolver.Resolver // nil where nobody asks
	listeners []*smtpguard.Listener
	done      sync.WaitGroup
}

// newGeneration builds what cfg says around b; listen opens an address. Without
// an error it owns kit.
func newGeneration(cfg *Config, b *backend, kit material, dir string, k *kept, listen func(string) (net.Listener, error)) (gen *generation, err error) {
	rules, err := relay.New(cfg.rules())
	if err != nil {
		return nil, err
	}
	limits, err := newLimits(cfg, k.limits, blockGuesser(k.blocked, time.Duration(cfg.Guesses.Block), b.log), b.log)
	if err != nil {
		return nil, err
	}
	tc, err := cfg.tlsConfig(&Listener{Kind: submission}, kit.certificates)
	if err != nil {
		return nil, err
	}
	who, err := newLogins(cfg, kit.passwords, kit.secret, tc, b.log)
	if err != nil {
		return nil, err
	}
	auth, err := cfg.authChecks(&who)
	if err != nil {
		return nil, err
	}
	own, err := newLists(cfg, dir, k.blocked, b.log)
	if err != nil {
		return nil, err
	}
	gen = &generation{cfg: cfg, kit: kit, own: own}
	if gen.dns, err = newResolver(cfg); err != nil {
		gen.abort()
		return nil, err
	}
	gen.work = newBackground()
	in, err := newInbound(cfg, named{gen.dns, "verify"})
	if err != nil {
		gen.abort()
		return nil, err
	}
	asking, err := dnsChecks(cfg, gen.dns, in, gen.work, b.log)
	if err != nil {
		gen.abort()
		return nil, err
	}
	last, err := gen.lastChecks(in, b, rules, dir, k)
	if err != nil {
		gen.abort()
		return nil, err
	}
	guard, err := smtpguard.New(cfg.guard(filepath.Join(dir, "spool"), b.log), policy(rules, limits, own, auth, asking, last)...)
	if err != nil {
		gen.abort()
		return nil, err
	}
	for _, l := range cfg.Listeners {
		ln, err := gen.listen(&l, guard, who.wrap(l.Kind, b), b.log, listen)
		if err != nil {
			gen.abort()
			return nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		gen.listeners = append(gen.listeners, ln)
	}
	return gen, nil
}

// lastChecks are those that sign, that seal what was signed, and that report what
// has become of it.
func (gen *generation) lastChecks(in *incoming, b *backend, rules *relay.Relay, dir string, k *kept) (checks []smtpguard.Check, err error) {
	if gen.sign, err = newSigning(gen.cfg, b.log); err != nil {
		return nil, err
	}
	if gen.sign != nil {
		checks = append(checks, gen.sign.check())
	}
	seal, err := newSealing(gen.cfg, in, named{gen.dns, "arc"}, b.log)
	if err != nil {
		return nil, err
	}
	if seal != nil {
		checks = append(checks, seal.check())
	}
	m := &mailer{cfg: gen.cfg, rules: rules, store: b.store, sign: gen.sign, folder: gen.cfg.Reports.folder(dir)}
	if gen.reports, err = newReports(gen.cfg, in, named{gen.dns, "report"}, m, &k.counts, dir, b.log); err != nil {
		return nil, err
	}
	if gen.reports != nil {
		checks = append(checks, gen.reports.check())
	}
	return checks, nil
}

// listen makes the server behind one listener.
func (gen *generation) listen(l *Listener, guard *smtpguard.Guard, b smtp.Backend, log *slog.Logger, listen func(string) (net.Listener, error)) (*smtpguard.Listener, error) {
	limits := &gen.cfg.Limits
	tc, err := gen.cfg.tlsConfig(l, gen.kit.certificates)
	if err != nil {
		return nil, err
	}
	srv := smtp.NewServer(guard.Wrap(b))
	srv.Domain = gen.cfg.Hostname
	srv.MaxMessageBytes = int64(limits.MessageOctets)
	srv.MaxRecipients = int(limits.Recipients)
	srv.ReadTimeout = time.Duration(limits.CommandTimeout)
	srv.WriteTimeout = time.Duration(limits.CommandTimeout)
	srv.EnableSMTPUTF8 = true
	srv.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	lc := smtpguard.ListenConfig{
		Name:        l.Name,
		Wait:        l.wait(),
		NoWait:      prefixes(l.NoWait),
		Proxy:       prefixes(l.Proxy),
		BodyTimeout: time.Duration(limits.BodyTimeout),
		MinRate:     int(limits.MinRate),
		Lifetime:    time.Duration(limits.Lifetime),
		MaxConns:    int(limits.Connections),
	}
	switch l.TLS {
	case startTLS:
		srv.TLSConfig, srv.EnableREQUIRETLS = tc, true
	case implicit:
		srv.TLSConfig, srv.EnableREQUIRETLS = tc, true
		lc.TLS = tc
	}
	if err := smtpguard.Harden(srv); err != nil {
		return nil, err
	}
	ln, err := listen(l.Address)
	if err != nil {
		return nil, err
	}
	guarded, err := guard.Listen(srv, ln, lc)
	if err != nil {
		ln.Close()
	}
	return guarded, err
}

// serve begins to serve.
func (gen *generation) serve(log *slog.Logger) {
	gen.work.begin()
	gen.reports.begin()
	for _, ln := range gen.listeners {
		gen.done.Go(func() {
			if err := ln.Serve(); err != nil {
				log.Error("listener failed", "address", ln.Addr().String(), "error", err.Error())
			}
		})
	}
}

// retire has all listeners accept nobody more.
func (gen *generation) retire() {
	for _, ln := range gen.listeners {
		_ = ln.Close() // its socket is the service's
	}
	gen.reports.retire()
}

// shutdown drains all listeners, until force ends.
func (gen *generation) shutdown(force context.Context) {
	var all sync.WaitGroup
	for _, ln := range gen.listeners {
		all.Go(func() { _ = ln.Shutdown(force) }) // its error is that force was needed
	}
	all.Wait()
	gen.done.Wait()
	gen.reports.shutdown(force)
	gen.sign.close()
	if gen.work != nil {
		gen.work.close()
	}
	gen.own.close()
	if gen.dns != nil {
		_ = gen.dns.Close() // it has nothing to lose
	}
	gen.kit.close()
}

// abort closes what was begun, and leaves kit to the caller.
func (gen *generation) abort() {
	gen.reports.retire()
	gen.sign.close()
	if gen.work != nil {
		gen.work.close()
	}
	gen.own.close()
	if gen.dns != nil {
		_ = gen.dns.Close() // it has nothing to lose
	}
	for _, ln := range gen.listeners {
		ln.Close()
	}
}

// check reports what would keep cfg from being put in force, as far as can be
// said without the data folder and the sockets.
func check(cfg *Config) error {
	dir, err := os.MkdirTemp("", "smtpguard-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	quiet := slog.New(slog.DiscardHandler)
	kit, err := newMaterial(cfg, dir, io.Discard, quiet)
	if err != nil {
		return err
	}
	defer kit.close()
	store, err := limiter.NewMemory(limiter.MemoryConfig{})
	if err != nil {
		return err
	}
	dynamic, err := blocklist.NewDynamic(blocklist.DynamicConfig{Protect: prefixes(cfg.OwnNetworks)})
	if err != nil {
		return err
	}
	defer func() { _ = dynamic.Close() }() // it is in memory alone
	files := *cfg
	files.Lists = slices.DeleteFunc(slices.Clone(cfg.Lists), func(l List) bool { return l.URL != "" }) // nothing is fetched to look
	gen, err := newGeneration(&files, &backend{log: quiet}, kit, dir, &kept{limits: store, blocked: dynamic, counts: counts{dry: true}},
		func(string) (net.Listener, error) { return deaf{}, nil })
	if err == nil {
		gen.abort()
	}
	return err
}

// deaf is a listener that hears nobody.
type deaf struct{}

func (deaf) Accept() (net.Conn, error) { return nil, errors.New("deaf") }
func (deaf) Close() error              { return nil }
func (deaf) Addr() net.Addr            { return &net.TCPAddr{} }

// logger writes as cfg says.
func logger(cfg *Config, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.Level(cfg.Log.Level)}
	if cfg.Log.Format == jsonLog {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// guard is the guard's configuration.
func (cfg *Config) guard(spool string, log *slog.Logger) smtpguard.Config {
	gc := smtpguard.Config{
		Hostname: cfg.Hostname,
		Context:  cfg.Resolver.budget,
		Contact:  cfg.Contact,
		Observe:  smtpguard.LogEvents(log),
		Hello:    smtpguard.HelloPolicy(cfg.Hello),
		Limits: smtpguard.Limits{
			Errors: int(cfg.Limits.Errors),
			Idle:   int(cfg.Limits.IdleCommands),
			Slow:   time.Duration(cfg.Limits.Slow),
		},
		Spool:  smtpguard.SpoolConfig{Dir: spool},
		Octets: smtpguard.OctetPolicy(cfg.Octets.Policy),
	}
	if gc.Limits.Slow == 0 { // which means the default there
		gc.Limits.Slow = -1
	}
	for _, r := range cfg.Octets.Rules {
		gc.OctetRules = append(gc.OctetRules, smtpguard.OctetRule{
			Networks: prefixes(r.Networks), Logins: r.Logins, Policy: smtpguard.OctetPolicy(r.Policy),
		})
	}
	return gc
}
