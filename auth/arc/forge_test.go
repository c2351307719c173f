package arc

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// hop is a set as a host makes it that keeps no rules. Its signatures verify, whatever
// they say. The zero value of a field means what is right.
type hop struct {
	key      Key
	by       Key // who signs in fact
	instance string
	cv       string
	results  string
	c        string // of the message signature; "-" leaves the tag out
	h        string
	a        string
	message  string // more tags of the message signature, "x=1; "
	seal     string // more tags of the seal
}

// onto returns the fields of the set: results, message signature and seal.
func (x hop) onto(t testing.TB, message string) [3]string {
	t.Helper()
	engine := mailsig.New(mailsig.Limits{}, nil)
	start := func(m string) *mailsig.Run {
		t.Helper()
		run, err := engine.Start(strings.NewReader(m))
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	run := start(message)
	last, _ := highest(run.Header)
	run.Close()
	if x.by.Private == nil {
		x.by = x.key
	}
	if x.cv == "" {
		x.cv = "pass"
		if last == 0 {
			x.cv = "none"
		}
	}
	alg, err := mailsig.AlgorithmOf(x.by.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	x.instance = cmp.Or(x.instance, strconv.Itoa(last+1))
	x.results = cmp.Or(x.results, x.key.Domain+"; none")
	x.c, x.h, x.a = cmp.Or(x.c, "relaxed/relaxed"), cmp.Or(x.h, "from:to:subject:date"), cmp.Or(x.a, alg.String())
	sign := func(digest []byte) string {
		t.Helper()
		b, err := alg.Sign(x.by.Private, digest)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	var canon, body mailsig.Canon
	c := "c=" + x.c + "; "
	switch x.c {
	case "relaxed/relaxed":
		canon, body = mailsig.Relaxed, mailsig.Relaxed
	case "relaxed":
		canon = mailsig.Relaxed
	case "-":
		c = ""
	}

	found := " i=" + x.instance + "; " + x.results
	message = fieldNames[0] + ":" + found + "\r\n" + message
	run = start(message)
	defer run.Close()
	sum := run.Sum(body, -1, mailsig.SHA256)
	if err := run.Body(t.Context()); err != nil {
		t.Fatal(err)
	}
	tags := fmt.Sprintf(" i=%s; a=%s; %sd=%s; s=s1; ", x.instance, x.a, c, x.key.Domain)
	signature := tags + fmt.Sprintf("h=%s; %sbh=%s; b=", x.h, x.message, base64.StdEncoding.EncodeToString(sum.Digest()))
	digest, _ := run.Hash(mailsig.SHA256, canon, strings.SplitSeq(x.h, ":"), -1, mailsig.AppendNew(nil, fieldNames[1], signature, canon))
	signature += sign(digest)

	type place struct{ instance, kind, field int }
	var before []place
	for i, f := range run.Header.Fields[1:] {
		kind := kindOf(f.Name)
		if n, _, err := instance(value(run.Header, i+1), kind, run.Engine.Limits); kind >= 0 && err == nil {
			before = append(before, place{n, kind, i + 1})
		}
	}
	slices.SortStableFunc(before, func(a, b place) int { return cmp.Or(a.instance-b.instance, a.kind-b.kind) })
	h := sha256.New()
	for _, p := range before {
		h.Write(mailsig.AppendField(nil, run.Header.Fields[p.field], mailsig.Relaxed))
	}
	for i, v := range []string{found, signature} {
		h.Write(append(mailsig.AppendNew(nil, fieldNames[i], v, mailsig.Relaxed), "\r\n"...))
	}
	seal := fmt.Sprintf(" i=%s; a=%s; d=%s; s=s1; %scv=%s; b=", x.instance, x.a, x.key.Domain, x.seal, x.cv)
	h.Write(mailsig.AppendNew(nil, fieldNames[2], seal, mailsig.Relaxed))
	seal += sign(h.Sum(nil))
	return [3]string{fieldNames[0] + ":" + found + "\r\n", fieldNames[1] + ":" + signature + "\r\n", fieldNames[2] + ":" + seal + "\r\n"}
}

// on returns message with the set on top of it.
func (x hop) on(t testing.TB, message string) string {
	t.Helper()
	f := x.onto(t, message)
	return f[2] + f[1] + f[0] + message
}

// pass is message with sets of keys on top, one above the other.
func pass(t testing.TB, message string, keys ...Key) string {
	t.Helper()
	for _, k := range keys {
		message = hop{key: k}.on(t, message)
	}
	return message
}
