package dkim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard/internal/watch"
)

// FolderConfig says where keys are.
type FolderConfig struct {
	// Dir has a folder for each domain, and in it a file for each key:
	// example.org/s1.pem. All keys of a domain sign.
	Dir string

	// Observe hears of keys that are loaded, broken or gone. It must not block, and
	// not close the Folder; nil: nobody does.
	Observe func(Event)
}

// Folder keeps the keys of files. What changes there is taken over within
// seconds, or a minute where the file system tells nothing of changes. A file
// that can not be read, or that others may read or its group write, leaves the
// key before in its place. All methods are safe for concurrent use.
type Folder struct {
	cfg     FolderConfig
	changed chan struct{}
	stop    chan struct{}
	done    sync.WaitGroup
	once    sync.Once

	mu     sync.RWMutex
	keys   map[string][]Key // by domain
	files  map[string]Key   // by path
	broken map[string]string
}

// maxKeyFile bounds a file with a key, in octets.
const maxKeyFile = 64 << 10

// OpenFolder loads keys and watches their files until Close. It reports every
// file that is wrong, and a folder without keys is none.
func OpenFolder(cfg FolderConfig) (*Folder, error) {
	f := &Folder{cfg: cfg, changed: make(chan struct{}, 1), stop: make(chan struct{}), files: map[string]Key{}, broken: map[string]string{}}
	if cfg.Dir == "" {
		return nil, errors.New("dkim: FolderConfig.Dir is empty")
	}
	seen, err := f.load()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(f.broken)) {
		errs = append(errs, fmt.Errorf("dkim: %s: %s", path, f.broken[path]))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	w := f.watch(seen)
	f.done.Go(func() { f.run(w, seen) })
	return f, nil
}

// Close ends the watching. The keys stay in use.
func (f *Folder) Close() {
	f.once.Do(func() { close(f.stop) })
	f.done.Wait()
}

// Keys returns the keys of a domain in normal form: lower case, A-labels.
func (f *Folder) Keys(domain string) []Key {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.keys[domain]
}

// run loads again whenever something has changed.
func (f *Folder) run(w *watch.Watcher, seen []string) {
	defer func() { w.Close() }()
	for {
		select {
		case <-f.stop:
			return
		case <-f.changed:
		}
		for {
			now, err := f.load()
			if err != nil {
				f.tell(Event{Kind: KeyBroken, Error: err.Error()})
				break
			}
			if slices.Equal(now, seen) {
				break
			}
			// What is new may have changed before it was watched: look again.
			seen = now
			w.Close()
			w = f.watch(seen)
		}
	}
}

// watch watches paths.
func (f *Folder) watch(paths []string) *watch.Watcher {
	return watch.New(watch.Config{Files: paths, Changed: func() {
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}})
}

// load takes over what is in the files, and returns the paths to watch.
func (f *Folder) load() ([]string, error) {
	dir, err := os.ReadDir(f.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("dkim: %w", err)
	}
	// A file that does not exist has its folder watched, whose own time says that
	// another has come.
	const none = ".none"
	seen := []string{f.cfg.Dir, filepath.Join(f.cfg.Dir, none)}
	files, broken := map[string]Key{}, map[string]string{}
	for _, d := range dir {
		sub := filepath.Join(f.cfg.Dir, d.Name())
		list, err := os.ReadDir(sub)
		if err != nil || strings.HasPrefix(d.Name(), ".") {
			continue // not a folder
		}
		seen = append(seen, sub, filepath.Join(sub, none))
		for _, entry := range list {
			selector, ok := strings.CutSuffix(entry.Name(), ".pem")
			if !ok || strings.HasPrefix(selector, ".") {
				continue
			}
			path := filepath.Join(sub, entry.Name())
			seen = append(seen, path)
			key, err := loadKey(path, d.Name(), selector)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				broken[path] = err.Error()
				if key, ok = f.files[path]; !ok {
					continue
				}
			}
			files[path] = key
		}
	}
	slices.Sort(seen)
	f.take(files, broken)
	return seen, nil
}

// loadKey reads the file of a key.
func loadKey(path, domain, selector string) (Key, error) {
	file, err := os.Open(path)
	if err != nil {
		return Key{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Key{}, err
	}
	if mode := info.Mode().Perm(); mode&0o027 != 0 && runtime.GOOS != "windows" { // where mode bits say nothing
		return Key{}, fmt.Errorf("mode %#o: others may read the key, or the group write it", mode)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return Key{}, err
	}
	if len(text) > maxKeyFile {
		return Key{}, fmt.Errorf("over %d octets", maxKeyFile)
	}
	private, err := ParseKey(text)
	if err != nil {
		return Key{}, err
	}
	p, err := Key{Domain: domain, Selector: selector, Private: private}.prepare()
	return p.Key, err
}

// take makes files the keys in use, and tells what is new.
func (f *Folder) take(files map[string]Key, broken map[string]string) {
	keys := map[string][]Key{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		k := files[path]
		keys[k.Domain] = append(keys[k.Domain], k)
	}
	f.mu.Lock()
	old, oldBroken := f.files, f.broken
	f.keys, f.files, f.broken = keys, files, broken
	f.mu.Unlock()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		k := files[path]
		if was, ok := old[path]; !ok || !equal(was.Private.Public(), k.Private.Public()) {
			f.tell(Event{Kind: KeyLoaded, Domain: k.Domain, Selector: k.Selector})
		}
	}
	for _, path := range slices.Sorted(maps.Keys(old)) {
		if k := old[path]; files[path].Private == nil {
			f.tell(Event{Kind: KeyGone, Domain: k.Domain, Selector: k.Selector})
		}
	}
	for _, path := range slices.Sorted(maps.Keys(broken)) {
		if broken[path] != oldBroken[path] {
			f.tell(Event{Kind: KeyBroken, Error: path + ": " + broken[path]})
		}
	}
}

func (f *Folder) tell(e Event) {
	if f.cfg.Observe != nil {
		e.Time = time.Now()
		f.cfg.Observe(e)
	}
}
