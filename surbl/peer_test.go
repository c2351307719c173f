package surbl

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/require"
)

// sighting is a URI that a peer found in a message: its host, and as it stood.
type sighting struct{ host, text string }

// peer finds the URIs of messages in files.
type peer struct {
	name string
	find func(t *testing.T, files []string) map[string][]sighting
}

func peers(t *testing.T) []peer {
	t.Helper()
	rspamadm := require.Program(t, "rspamadm")
	require.Program(t, "spamassassin")
	perl := require.Program(t, "perl")
	return []peer{
		{"rspamd", func(t *testing.T, files []string) map[string][]sighting {
			return sightings(t, files, rspamadm, "lua", "-b", filepath.Join("testdata", "rspamd.lua"))
		}},
		{"SpamAssassin", func(t *testing.T, files []string) map[string][]sighting {
			return sightings(t, files, perl, filepath.Join("testdata", "spamassassin.pl"), t.TempDir(), "/usr/share/spamassassin/20_aux_tlds.cf")
		}},
	}
}

// sightings runs one process over all files.
func sightings(t *testing.T, files []string, program string, args ...string) map[string][]sighting {
	t.Helper()
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte(strings.Join(files, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // it takes two seconds of a processor
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "URLS_OF="+list)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%.2000s", program, err, log.String())
	}
	text, whole := strings.CutSuffix(out.String(), "done\n")
	if !whole {
		t.Fatalf("%s ended early: %.2000s", program, log.String())
	}
	all := make(map[string][]sighting)
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(f) == 3 && f[1] != "" {
			all[f[0]] = append(all[f[0]], sighting{normalHost(f[1]), f[2]})
		}
	}
	return all
}

// normalHost is a host as URI has it, where it is one.
func normalHost(s string) string {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr.Unmap().String()
	}
	if normal, err := domain.Normal(s); err == nil {
		return normal
	}
	return s
}

// argument is why a peer finds what is not found here: in messages whose name
// has in, and for hosts of that name, or all for "".
type argument struct {
	peer, in, host string
	reason         string
}

// arguments holds those of a test, and which of them were needed.
type arguments struct {
	list []argument
	used []bool
}

func (a *arguments) hold(peer, name, host string) bool {
	a.used = slices.Grow(a.used, len(a.list))[:len(a.list)]
	for i, arg := range a.list {
		if arg.peer == peer && strings.Contains(name, arg.in) && (arg.host == "" || arg.host == host) {
			a.used[i] = true
			return true
		}
	}
	return false
}

func (a *arguments) end(t *testing.T) {
	for i, arg := range a.list {
		if i >= len(a.used) || !a.used[i] {
			t.Errorf("%+v: needed no more", arg)
		}
	}
}

// TestPeers finds every host in the messages of the suites that rspamd and
// SpamAssassin find.
func TestPeers(t *testing.T) {
	found := peers(t)
	x, err := NewExtractor(Extraction{URIs: 10000})
	if err != nil {
		t.Fatal(err)
	}
	const path = "a file at the end of a path, which no client links: what is behind a slash is no host"
	args := &arguments{list: []argument{
		{"rspamd", "thirdparty/015.eml", "pobo.intra.proxmox.com", "an identifier of another message in References (RFC 5322, section 3.6.4), which has the form of an address and is none"},
		{"SpamAssassin", "multipart-related-mhtml.txt", "www.image1.com", `the name "image1" in Content-Location, which SpamAssassin completes as browsers of its time did what was typed`},
		{"SpamAssassin", "nice/base64.txt", "main.pm", path}, {"SpamAssassin", "nice/base64.txt", "perlcode.pm", path},
	}}
	all := messages(t)
	var files []string
	for name := range all {
		files = append(files, name)
	}
	slices.Sort(files)
	for _, p := range found {
		theirs := p.find(t, files)
		hosts, missed, more := 0, 0, 0
		for _, file := range files {
			links, err := x.Extract(bytes.NewReader(all[file]))
			if err != nil {
				t.Fatal(err)
			}
			ours, their := make(map[string]bool), make(map[string]bool)
			for _, u := range links.URIs {
				host := u.Host
				if u.Addr.IsValid() {
					host = u.Addr.String()
				}
				ours[host] = true
			}
			for _, s := range theirs[file] {
				if their[s.host] {
					continue
				}
				their[s.host] = true
				if hosts++; !ours[s.host] {
					if missed++; !args.hold(p.name, file, s.host) {
						t.Errorf("%s: %s finds %s in %.100q", file, p.name, s.host, s.text)
					}
				}
			}
			for host := range ours {
				if !their[host] {
					more++
				}
			}
		}
		t.Logf("%s: %d hosts, of which %d are not found here; %d more are", p.name, hosts, missed, more)
		if hosts < 300 {
			t.Errorf("%s finds only %d hosts", p.name, hosts)
		}
	}
	args.end(t)
}

// TestForgeriesPeers does the same for messages that hide links, for which it is
// known what is to be found: no peer finds a link that is not found here, and what
// else one finds is argued.
func TestForgeriesPeers(t *testing.T) {
	found := peers(t)
	const (
		userinfo = "what is before the last @ of an authority is no host (WHATWG URL, section 4.4, authority state)"
		slashed  = "a backslash ends an authority as a slash does (WHATWG URL, section 4.4, special authority)"
		spaces   = "spaces behind a soft line break do not count (RFC 2045, section 6.7, rule 3), and the host is in one piece"
		pieces   = "a piece of a host that is in one piece for whoever opens it"
	)
	args := &arguments{list: []argument{
		{"rspamd", `http://bank.com%2f@`, "bank.com", userinfo}, {"SpamAssassin", `http://bank.com%2f@`, "bank.com", userinfo},
		{"rspamd", `http://a@b@`, "", userinfo}, {"rspamd", `{host}\@bank.com`, "bank.com", slashed}, {"SpamAssassin", `{host}\@bank.com`, "bank.com", slashed},
		{"rspamd", `{flow}`, "", pieces}, {"SpamAssassin", `{flow}`, "", pieces}, {"SpamAssassin", `{fold}`, "", pieces}, {"SpamAssassin", `{tags}`, "", pieces},
		{"rspamd", "Quoted-Printable", "", spaces},
	}}
	list := forgeries()
	dir := t.TempDir()
	var files []string
	for i, f := range list {
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, f.mail, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	for _, p := range found {
		theirs := p.find(t, files)
		n := 0
		for i, f := range list {
			links, err := Extract(bytes.NewReader(f.mail))
			if err != nil {
				t.Fatal(err)
			}
			hit := false
			for _, s := range theirs[files[i]] {
				hit = hit || s.host == f.want || strings.HasSuffix(s.host, "."+f.want)
				if !sees(links, s.host) && !args.hold(p.name, f.name, s.host) {
					t.Errorf("%.200s: %s finds %s in %.100q", f.name, p.name, s.host, s.text)
				}
			}
			if hit {
				n++
			}
		}
		t.Logf("%s finds the link in %d of %d messages", p.name, n, len(list))
		if n < len(list)/4 {
			t.Errorf("%s finds too few", p.name)
		}
	}
	args.end(t)
}
