package tlsconf

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"time"
)

// Pair names the files, in PEM, of a certificate (with its chain, leaf first)
// and its private key. They may be symbolic links.
type Pair struct {
	Certificate, Key string
}

const (
	maxPEM    = 1 << 20 // octets of one file
	minRSA    = 2048    // bits (RFC 9325, section 4.5)
	forOthers = 0o007   // mode bits
	groupMay  = 0o020   // write
)

var errForOthers = errors.New("others may read or write this key: it must be its owner's alone, and at most readable by a group")

// load reads and checks the pair.
func (p Pair) load() (*tls.Certificate, error) {
	certPEM, err := readFile(p.Certificate, false)
	if err != nil {
		return nil, err
	}
	keyPEM, err := readFile(p.Key, true)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	clear(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", p.Certificate, p.Key, err)
	}
	if cert.Leaf == nil { // GODEBUG has a setting for that
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, err
		}
	}
	if key, ok := cert.Leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
		return nil, fmt.Errorf("%s: a key of %d bits, which is fewer than %d (RFC 9325, section 4.5)", p.Certificate, key.N.BitLen(), minRSA)
	}
	return &cert, nil
}

// readFile reads a file, and refuses it where it is secret and its mode is not.
func readFile(path string, secret bool) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of what was opened, whatever the path becomes
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is no regular file")}
	case secret && info.Mode().Perm()&(forOthers|groupMay) != 0 && runtime.GOOS != "windows": // where mode bits say nothing
		return nil, &fs.PathError{Op: fmt.Sprintf("mode %#o", info.Mode().Perm()), Path: path, Err: errForOthers}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if len(b) > maxPEM {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("is longer than %d octets", maxPEM)}
	}
	return b, err
}

// stamp tells whether the files of a pair have changed.
type stamp [2]fs.FileInfo // nil where there is none

func (p Pair) stamp() (s stamp) {
	for i, path := range []string{p.Certificate, p.Key} {
		if info, err := os.Stat(path); err == nil {
			s[i] = info
		}
	}
	return s
}

func (s stamp) equal(to stamp) bool {
	for i := range s {
		a, b := s[i], to[i]
		if a == nil || b == nil {
			if a != b {
				return false
			}
			continue
		}
		if !os.SameFile(a, b) || a.Size() != b.Size() || a.Mode() != b.Mode() || !a.ModTime().Equal(b.ModTime()) {
			return false
		}
	}
	return true
}

// valid reports whether the certificate is at now.
func valid(cert *tls.Certificate, now time.Time) bool {
	return !now.Before(cert.Leaf.NotBefore) && !now.After(cert.Leaf.NotAfter)
}
