package dkim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// put writes a key to the folder of a domain, by a rename as programs do.
func put(t *testing.T, dir, name string, text []byte, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path+".new", mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func marshal(t *testing.T, k Key) []byte {
	t.Helper()
	text, err := MarshalKey(k.Private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestFolder(t *testing.T) {
	keys, _ := pair(t)
	dir := t.TempDir()
	put(t, dir, "example.org/s1.pem", marshal(t, keys[0]), 0o600)
	put(t, dir, "example.org/README", []byte("no key"), 0o644)
	put(t, dir, "notes.txt", []byte("no folder"), 0o644)
	events := make(chan Event, 100)
	f, err := OpenFolder(FolderConfig{Dir: dir, Observe: func(e Event) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	expect := func(want string) {
		t.Helper()
		select {
		case e := <-events:
			if got := fmt.Sprintf("%s %s %s", e.Kind, e.Selector, e.Domain); !strings.HasPrefix(got+" "+e.Error, want) {
				t.Fatalf("%s %s, want %s", got, e.Error, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing, want %s", want)
		}
	}
	expect("loaded s1 example.org")
	if got := f.Keys("example.org"); len(got) != 1 || got[0].Domain != "example.org" || got[0].Selector != "s1" {
		t.Errorf("%+v", got)
	}

	put(t, dir, "example.org/s2.pem", marshal(t, keys[1]), 0o600)
	expect("loaded s2 example.org")
	if got := f.Keys("example.org"); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	put(t, dir, "bücher.example/s3.pem", marshal(t, keys[1]), 0o640) // a folder that is new
	expect("loaded s3 xn--bcher-kva.example")
	if got := f.Keys("xn--bcher-kva.example"); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	put(t, dir, "example.org/s2.pem", []byte("broken"), 0o600)
	expect("broken   " + filepath.Join(dir, "example.org", "s2.pem"))
	if got := f.Keys("example.org"); len(got) != 2 {
		t.Errorf("a broken file takes the key away: %+v", got)
	}
	put(t, dir, "example.org/s2.pem", marshal(t, keys[0]), 0o600)
	expect("loaded s2 example.org")
	if err := os.Remove(filepath.Join(dir, "example.org", "s1.pem")); err != nil {
		t.Fatal(err)
	}
	expect("gone s1 example.org")
	if got := f.Keys("example.org"); len(got) != 1 || got[0].Selector != "s2" {
		t.Errorf("%+v", got)
	}
}

func TestOpenFolder(t *testing.T) {
	keys, _ := pair(t)
	if _, err := OpenFolder(FolderConfig{}); err == nil {
		t.Error("no Dir")
	}
	if _, err := OpenFolder(FolderConfig{Dir: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a folder that does not exist")
	}
	dir := t.TempDir()
	put(t, dir, "example.org/open.pem", marshal(t, keys[0]), 0o644)
	put(t, dir, "example.org/broken.pem", []byte("x"), 0o600)
	put(t, dir, "example.org/long.pem", make([]byte, maxKeyFile+1), 0o600)
	put(t, dir, "no domain/s1.pem", marshal(t, keys[0]), 0o600)
	_, err := OpenFolder(FolderConfig{Dir: dir})
	for _, want := range []string{"open.pem: mode 0644", "broken.pem: dkim: no RSA", "long.pem: over", "s1.pem: dkim: key"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v: nothing of %s", err, want)
		}
	}
}
