package surbl

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/require"
)

// link is a URI as a peer found it.
type found struct{ host, text string }

// peerURIs runs a program over messages, all at once, and returns what it found
// in each.
func peerURIs(t *testing.T, files []string, program string, args ...string) map[string][]found {
	t.Helper()
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte(strings.Join(files, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "URLS_OF="+list)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%.2000s", program, err, log.String())
	}
	if !strings.HasSuffix(out.String(), "done\n") {
		t.Fatalf("%s ended early: %.2000s", program, log.String())
	}
	all := make(map[string][]found)
	for line := range strings.Lines(out.String()) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(f) == 3 && f[1] != "" {
			all[f[0]] = append(all[f[0]], found{f[1], f[2]})
		}
	}
	return all
}

func rspamd(t *testing.T, files []string) map[string][]found {
	t.Helper()
	return peerURIs(t, files, require.Program(t, "rspamadm"), "lua", "-b", filepath.Join("testdata", "rspamd.lua"))
}

func spamAssassin(t *testing.T, files []string) map[string][]found {
	t.Helper()
	require.Program(t, "spamassassin")
	return peerURIs(t, files, require.Program(t, "perl"), filepath.Join("testdata", "spamassassin.pl"), t.TempDir(), "/usr/share/spamassassin/20_aux_tlds.cf")
}

func TestPeers(t *testing.T) {
	x, err := NewExtractor(Extraction{URIs: 10000})
	if err != nil {
		t.Fatal(err)
	}
	all := messages(t)
	var files []string
	for name := range all {
		files = append(files, name)
	}
	slices.Sort(files)
	for _, peer := range []struct {
		name string
		find func(*testing.T, []string) map[string][]found
	}{
		{"rspamd", rspamd}, {"SpamAssassin", spamAssassin},
	} {
		theirs := peer.find(t, files)
		n, miss := 0, 0
		for _, file := range files {
			links, err := x.Extract(bytes.NewReader(all[file]))
			if err != nil {
				t.Fatal(err)
			}
			var hosts []string
			for _, u := range links.URIs {
				h := u.Host
				if u.Addr.IsValid() {
					h = u.Addr.String()
				}
				hosts = append(hosts, h)
			}
			seen := map[string]bool{}
			for _, f := range theirs[file] {
				h := f.host
				if normal, err := domain.Normal(h); err == nil {
					h = normal
				}
				if seen[h] {
					continue
				}
				seen[h] = true
				n++
				if !slices.Contains(hosts, h) {
					miss++
					rel := file[strings.Index(file, "mime/")+5:]
					t.Logf("%s\t%s\t%s\t%.100s", peer.name, rel, h, f.text)
				}
			}
		}
		t.Logf("%s: %d hosts, %d missed", peer.name, n, miss)
	}
}
