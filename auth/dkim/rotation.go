package dkim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// RotationConfig says whose keys are replaced, and when. The zero value of a
// duration means its default.
type RotationConfig struct {
	// Dir has a folder for each domain, with the keys (20260724a.pem) and where
	// they are in their life (rotation.json). One Rotation at a time may have it;
	// others may read its keys with a [Folder], but that has those of all phases.
	Dir string

	Domains  []string
	Types    []KeyType // a key of each signs; nil means [RSA2048]
	Resolver Resolver  // nil means [net.DefaultResolver]

	Life   time.Duration // for how long a key signs; 90 days
	Notice time.Duration // how long before that ends the next is made, to be published; 14 days
	Lead   time.Duration // for how long DNS must have had a key before it takes over; 2 days
	Linger time.Duration // for how long the record of a key that signs no more stays; 10 days: mail may be on its way for 5 and wait to be read

	// Observe hears of every step. It must not block; nil: nobody does.
	Observe func(Event)
}

// Rotation replaces keys in time. Each goes from next (made, to be published) to
// active (it signs, once DNS has it) to retired (its record stays until what it
// signed has been read) and is then deleted. Somebody has to put records into DNS,
// and take them away, as events say; nothing depends on when they do, because a
// key signs only when DNS is seen to have it.
//
// It is a [Source]. All methods are safe for concurrent use.
type Rotation struct {
	cfg  RotationConfig
	plan schedule

	stepping sync.Mutex // one Step at a time

	mu      sync.RWMutex
	domains map[string]*rotating
}

// rotating is a domain.
type rotating struct {
	stages []stage
	keys   map[string]Key // by selector
	signs  []Key          // of the active
}

const stateFile = "rotation.json"

// NewRotation loads the keys of cfg.Domains. It makes none before the first Step. It
// reports every field of cfg that is wrong.
func NewRotation(cfg RotationConfig) (*Rotation, error) {
	r := &Rotation{cfg: cfg, domains: map[string]*rotating{}}
	c := &r.cfg
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("dkim: RotationConfig.Dir is empty"))
	}
	if len(c.Domains) == 0 {
		errs = append(errs, errors.New("dkim: RotationConfig.Domains is empty"))
	}
	if c.Types == nil {
		c.Types = []KeyType{RSA2048}
	}
	for i, t := range c.Types {
		switch t {
		case RSA2048, RSA3072, RSA4096, Ed25519:
		default:
			errs = append(errs, fmt.Errorf("dkim: RotationConfig.Types[%d] is %q: no type of keys", i, t))
		}
	}
	const day = 24 * time.Hour
	for _, d := range [...]struct {
		name     string
		value    *time.Duration
		fallback time.Duration
	}{{"Life", &c.Life, 90 * day}, {"Notice", &c.Notice, 14 * day}, {"Lead", &c.Lead, 2 * day}, {"Linger", &c.Linger, 10 * day}} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
		if *d.value < 0 {
			errs = append(errs, fmt.Errorf("dkim: RotationConfig.%s is %v: must not be negative", d.name, *d.value))
		}
	}
	if c.Notice < c.Lead || c.Life < c.Notice {
		errs = append(errs, errors.New("dkim: RotationConfig: Lead must fit into Notice, and Notice into Life"))
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	for i, name := range c.Domains {
		d, _, err := mailsig.KeyNames(name, "s")
		if err != nil {
			errs = append(errs, fmt.Errorf("dkim: RotationConfig.Domains[%d] %q: %w", i, name, err))
			continue
		}
		if r.domains[d], err = r.load(d); err != nil {
			errs = append(errs, fmt.Errorf("dkim: RotationConfig.Domains[%d]: %w", i, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r.plan = schedule{life: c.Life, notice: c.Notice, lead: c.Lead, linger: c.Linger}
	return r, nil
}

// Keys returns the keys of a domain in normal form that sign now.
func (r *Rotation) Keys(domain string) []Key {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if d := r.domains[domain]; d != nil {
		return d.signs
	}
	return nil
}

// Run steps at once, and then every hour until ctx ends. What fails is tried again
// the next time; fail, which may be nil, hears of it.
func (r *Rotation) Run(ctx context.Context, fail func(error)) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := r.Step(ctx, time.Now()); err != nil && fail != nil && ctx.Err() == nil {
			fail(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Step takes every key to where it should be now. It asks DNS for the keys that
// sign or are to sign; where DNS can not be asked, what was last seen counts. Errors
// are of files: the domain stays as it was.
func (r *Rotation) Step(ctx context.Context, now time.Time) error {
	r.stepping.Lock()
	defer r.stepping.Unlock()
	var errs []error
	for _, name := range r.cfg.Domains {
		d, _, err := mailsig.KeyNames(name, "s")
		if err == nil {
			err = r.step(ctx, d, now)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("dkim: rotation of %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Rotation) step(ctx context.Context, name string, now time.Time) error {
	r.mu.RLock()
	old := r.domains[name]
	r.mu.RUnlock()
	d := &rotating{keys: map[string]Key{}}
	for selector, k := range old.keys {
		d.keys[selector] = k
	}
	var steps []step
	var failed error
	for _, t := range r.cfg.Types {
		var lane []stage
		for _, k := range old.stages {
			if k.Type == t {
				lane = append(lane, k)
			}
		}
		left, done := r.plan.advance(lane, now, func(k stage) lookup { return r.published(ctx, d.keys[k.Selector]) },
			func() stage {
				k, err := r.create(d, name, t, now)
				failed = errors.Join(failed, err)
				return stage{Selector: k.Selector, Type: t}
			})
		d.stages, steps = append(d.stages, left...), append(steps, done...)
	}
	if failed != nil {
		return failed
	}
	for _, k := range old.stages { // of types that are no longer made: as they were
		if !has(typeNames(r.cfg.Types), string(k.Type)) {
			d.stages = append(d.stages, k)
		}
	}
	d.settle()
	if err := r.save(name, d); err != nil {
		return err
	}
	r.mu.Lock()
	r.domains[name] = d
	r.mu.Unlock()
	for _, s := range steps {
		r.tell(name, s, d, now)
	}
	return nil
}

func typeNames(types []KeyType) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return names
}

// settle finds the keys that sign, and forgets those without a stage.
func (d *rotating) settle() {
	keys := map[string]Key{}
	d.signs = nil
	for _, s := range d.stages {
		keys[s.Selector] = d.keys[s.Selector]
		if s.Phase == active {
			d.signs = append(d.signs, d.keys[s.Selector])
		}
	}
	d.keys = keys
}

func (r *Rotation) published(ctx context.Context, k Key) lookup {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch err := CheckRecord(ctx, r.cfg.Resolver, k); {
	case err == nil:
		return there
	case errors.Is(err, ErrUnpublished), errors.Is(err, ErrOtherKey):
		return missing
	}
	return unknown
}

// create makes a key and its file, under a selector of the day that was not used.
func (r *Rotation) create(d *rotating, domain string, t KeyType, now time.Time) (Key, error) {
	private, err := Generate(t)
	if err != nil {
		return Key{}, err
	}
	text, err := MarshalKey(private)
	if err != nil {
		return Key{}, err
	}
	dir := filepath.Join(r.cfg.Dir, domain)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Key{}, err
	}
	day := now.UTC().Format("20060102")
	for c := 'a'; c <= 'z'; c++ {
		selector := day + string(c)
		err := writeNew(filepath.Join(dir, selector+".pem"), text)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		k := Key{Domain: domain, Selector: selector, Private: private}
		d.keys[selector] = k
		return k, err
	}
	return Key{}, fmt.Errorf("too many keys of %s", day)
}

// writeNew makes a file that only its owner may read.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// load reads the state of a domain, which may have none.
func (r *Rotation) load(domain string) (*rotating, error) {
	d := &rotating{keys: map[string]Key{}}
	dir := filepath.Join(r.cfg.Dir, domain)
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &d.stages); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, stateFile), err)
	}
	for _, s := range d.stages {
		if s.Selector == "" || strings.ContainsAny(s.Selector, `/\`) {
			return nil, fmt.Errorf("%s: a selector that is none", filepath.Join(dir, stateFile))
		}
		k, err := loadKey(filepath.Join(dir, s.Selector+".pem"), domain, s.Selector)
		if err != nil {
			return nil, err
		}
		d.keys[s.Selector] = k
	}
	d.settle()
	return d, nil
}

// save writes the state of a domain: whole, or not at all.
func (r *Rotation) save(domain string, d *rotating) error {
	text, err := json.MarshalIndent(d.stages, "", "\t")
	if err != nil {
		return err
	}
	path := filepath.Join(r.cfg.Dir, domain, stateFile)
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeNew(temp, append(text, '\n')); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// tell reports a step, and deletes the file of a key whose life is over.
func (r *Rotation) tell(domain string, s step, d *rotating, now time.Time) {
	e := Event{Time: now, Kind: s.kind, Domain: domain, Selector: s.key.Selector}
	switch s.kind {
	case KeyCreated, KeyMissing:
		if k, ok := d.keys[s.key.Selector]; ok {
			e.Record, _ = Record(k.Private.Public()) // of a key of ours
		}
	case KeyWithdrawn:
		if err := os.Remove(filepath.Join(r.cfg.Dir, domain, s.key.Selector+".pem")); err != nil {
			e.Error = err.Error()
		}
	}
	if r.cfg.Observe != nil {
		r.cfg.Observe(e)
	}
}
