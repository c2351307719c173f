package dmarc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTargets has the lists of RFC 9989, section 4.10 and appendix B.4.
func TestTargets(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"com", "com"},
		{"example.com", "example.com com"},
		{"signing.example.com", "signing.example.com example.com com"},
		{"a.b.c.d.e.f.g", "a.b.c.d.e.f.g b.c.d.e.f.g c.d.e.f.g d.e.f.g e.f.g f.g g"},
		{"a.b.c.d.e.f.g.h", "a.b.c.d.e.f.g.h b.c.d.e.f.g.h c.d.e.f.g.h d.e.f.g.h e.f.g.h f.g.h g.h h"},
		{"a.b.c.d.e.f.g.h.i", "a.b.c.d.e.f.g.h.i c.d.e.f.g.h.i d.e.f.g.h.i e.f.g.h.i f.g.h.i g.h.i h.i i"},
		{"a.b.c.d.e.f.g.h.i.j.mail.example.com", "a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com h.i.j.mail.example.com " +
			"i.j.mail.example.com j.mail.example.com mail.example.com example.com com"},
		{"a.b.c.d.e.f.g.h.i.j.k.example.com", "a.b.c.d.e.f.g.h.i.j.k.example.com g.h.i.j.k.example.com h.i.j.k.example.com " +
			"i.j.k.example.com j.k.example.com k.example.com example.com com"},
	} {
		if got := strings.Join(targets(tt.name), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestWalk(t *testing.T) {
	z := published(map[string]string{
		"a.mail.example.com": "v=DMARC1; p=none", "mail.example.com": "v=DMARC1; p=reject; psd=n",
		"bank.example": "v=DMARC1; p=reject; psd=y", "example": "v=DMARC1",
	})
	z.txt["_dmarc.twice.example.net"] = []string{"v=DMARC1", "v=DMARC1"}
	for _, tt := range []struct{ name, steps, organizational, suffix string }{
		{"A.mail.example.com.", "a.mail.example.com+ mail.example.com+", "mail.example.com", ""},
		{"x.y.bank.example", "x.y.bank.example y.bank.example bank.example+", "y.bank.example", "bank.example"},
		{"bank.example", "bank.example+", "bank.example", ""},
		{"other.example", "other.example example+", "example", ""},
		{"twice.example.net", "twice.example.net! example.net net", "twice.example.net", ""},
	} {
		w, err := checker(t, z.fresh(), Config{}).Walk(t.Context(), tt.name)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		var steps []string
		for _, s := range w.Steps {
			text := s.Domain
			if s.Record != nil {
				text += "+"
			}
			if s.Note != "" {
				text += "!"
			}
			steps = append(steps, text)
		}
		if got := strings.Join(steps, " "); got != tt.steps || w.Organizational != tt.organizational || w.Suffix != tt.suffix {
			t.Errorf("%s: %s of %q below %q; want %s of %q below %q", tt.name, got, w.Organizational, w.Suffix, tt.steps, tt.organizational, tt.suffix)
		}
	}
	w, err := checker(t, z.without("_dmarc.bank.example"), Config{}).Walk(t.Context(), "x.bank.example")
	if err == nil || w.Organizational != "" || len(w.Steps) != 2 || w.Steps[1].Error == "" {
		t.Errorf("without an answer: %+v, %v", w, err)
	}
	// A name too long to have a record is not asked for.
	z = z.fresh()
	long := strings.Repeat(strings.Repeat("a", 60)+".", 4) + "example"
	if _, err := checker(t, z, Config{}).Walk(t.Context(), long); err != nil || len(z.queries()) != 4 {
		t.Errorf("asked for %q, %v", z.queries(), err)
	}
}

// byTheBook walks as section 4.10 has it written, one query at a time. It
// returns the organizational domain, "" where an answer was missing.
func byTheBook(z *zone, name string) string {
	type found struct{ name, psd string }
	var records []found
	target := name
	for range 1000 {
		if z.fail["_dmarc."+target] {
			return ""
		}
		if texts := z.txt["_dmarc."+target]; len(texts) == 1 {
			_, psd, _ := strings.Cut(texts[0], "psd=")
			records = append(records, found{target, psd})
			if psd == "y" || psd == "n" {
				break
			}
		}
		parts := strings.Split(target, ".")
		if x := len(parts); x >= 8 {
			parts = parts[x-7:]
		} else {
			parts = parts[1:]
		}
		if len(parts) == 0 {
			break
		}
		target = strings.Join(parts, ".")
	}
	for _, r := range records {
		if r.psd == "n" {
			return r.name
		}
		if r.psd == "y" && r.name != name {
			rest := strings.Split(strings.TrimSuffix(name, "."+r.name), ".")
			return rest[len(rest)-1] + "." + r.name
		}
	}
	if len(records) > 0 {
		return records[len(records)-1].name
	}
	return name
}

// FuzzWalk makes zones: each octet of plan is what is at one name, from the top.
func FuzzWalk(f *testing.F) {
	f.Add("a.b.example.com", "x.b.example.com", []byte{0, 1, 2, 3})
	f.Add("a.b.c.d.e.f.g.h.i.j", "z.d.e.f.g.h.i.j", []byte{0, 1, 0, 0, 2, 0, 1, 0, 0, 0})
	f.Add("a.b.c.d.e.f.g.h.i.j", "c.d.e.f.g.h.i.j", []byte{0, 0, 0, 4, 0, 5, 0, 3, 0, 0})
	f.Fuzz(func(t *testing.T, author, other string, plan []byte) {
		author, err := normal(author)
		if err != nil {
			return
		}
		if other, err = normal(other); err != nil {
			return
		}
		z := &zone{txt: make(map[string][]string), fail: make(map[string]bool)}
		for i, kind := range plan {
			if i >= labels(author) {
				break
			}
			name := "_dmarc." + suffix(author, i+1)
			record := "v=DMARC1; p=reject; psd="
			switch kind % 6 {
			case 1:
				z.txt[name] = []string{record + "u"}
			case 2:
				z.txt[name] = []string{record + "y"}
			case 3:
				z.txt[name] = []string{record + "n"}
			case 4:
				z.txt[name] = []string{record + "n", record + "y"}
			case 5:
				z.fail[name] = true
			}
		}
		c := checker(t, z, Config{})
		for _, name := range []string{author, other} {
			z.asked = nil
			w, err := c.Walk(t.Context(), name)
			if asked := z.queries(); len(asked) > maxWalk || len(slices.Compact(asked)) != len(z.asked) {
				t.Fatalf("%s: asked for %q", name, asked)
			}
			want := byTheBook(z, name)
			if w.Organizational != want || (err != nil) != (want == "") {
				t.Fatalf("%s: %q, %v; want %q", name, w.Organizational, err, want)
			}
		}
		// Alignment is that of the organizational domains.
		m := Message{Header: fmt.Appendf(nil, "From: <a@%s>\r\n", author), DKIM: []DKIM{{other, "s", "pass"}}}
		got := c.Check(t.Context(), m)
		if got.AuthorDomain != author || got.Lookups > 2*maxWalk {
			t.Fatalf("%s: %+v", author, got)
		}
		a, o := byTheBook(z, author), byTheBook(z, other)
		switch got.Result {
		case Pass:
			if author != other && (a == "" || a != o) {
				t.Fatalf("%s passes for %s: %q and %q", author, other, a, o)
			}
		case Fail:
			if author == other || a == "" || o != "" && a == o {
				t.Fatalf("%s fails for %s: %q and %q", author, other, a, o)
			}
		case TempError:
			if len(z.fail) == 0 {
				t.Fatalf("%s: %s (%s)", author, got.Result, got.Reason)
			}
		}
	})
}
