package ldapstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
)

// The directory of the tests. bob is locked, new has no password, and twins have
// one address.
const tree = `
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: cn=mail,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: mail
userPassword: searching

dn: cn=policy,dc=example,dc=org
objectClass: organizationalRole
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE

dn: cn=decoy,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: decoy
userPassword: nobody knows this

dn: uid=ann,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: A
mail: Ann@Example.org
mail: sales@example.org
userPassword: correct horse

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: B
mail: bob@example.org
userPassword: correct horse
pwdAccountLockedTime: 000001010000Z

dn: uid=new,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: new
cn: New
sn: N
mail: new@example.org

dn: uid=twin1,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: twin1
cn: Twin
sn: T
mail: twin@example.org
userPassword: correct horse

dn: uid=twin2,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: twin2
cn: Twin
sn: T
mail: twin@example.org
userPassword: correct horse

dn: cn=a\2c b\2b\22c\22,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: a, b+"c"
sn: X
mail: odd@example.org
userPassword: correct horse
`

// slapd is a directory server on loopback.
type slapd struct {
	t                 *testing.T
	config            string
	plain, tls, local string // URLs
	roots             *x509.CertPool
	cmd               *exec.Cmd
}

// startSlapd starts a server with the tree.
func startSlapd(t *testing.T) *slapd {
	t.Helper()
	program := require.Program(t, "slapd")
	dir, err := os.MkdirTemp("", "slapd") // a name short enough for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &slapd{t: t, config: filepath.Join(dir, "slapd.conf")}
	s.plain, s.tls = fmt.Sprintf("ldap://localhost:%d", require.Addr(t).Port()), fmt.Sprintf("ldaps://localhost:%d", require.Addr(t).Port())
	s.local = "ldapi://" + filepath.Join(dir, "ldapi")
	certificate, key := s.certificate(dir)
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile ` + dir + `/pid
argsfile ` + dir + `/args
TLSCertificateFile ` + certificate + `
TLSCertificateKeyFile ` + key + `
database mdb
maxsize 10485760
suffix "dc=example,dc=org"
directory ` + dir + `/data
overlay ppolicy
ppolicy_default "cn=policy,dc=example,dc=org"
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=mail,dc=example,dc=org" read by self read by anonymous auth by * none
`
	ldif := filepath.Join(dir, "tree.ldif")
	for name, text := range map[string]string{s.config: conf, ldif: strings.TrimLeft(tree, "\n")} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(program, "-T", "add", "-f", s.config, "-l", ldif).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// certificate writes a pair for localhost into dir.
func (s *slapd) certificate(dir string) (certificate, key string) {
	s.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		s.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AddCert(leaf)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		s.t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return certificate, key
}

func (s *slapd) start() {
	s.t.Helper()
	urls := []string{s.plain, s.tls, "ldapi://" + strings.ReplaceAll(strings.TrimPrefix(s.local, "ldapi://"), "/", "%2F")}
	s.cmd = exec.Command(require.Program(s.t, "slapd"), "-f", s.config, "-h", strings.Join(urls, " "), "-d", "0")
	var out strings.Builder
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.plain, "ldap://"))
		if err == nil {
			c.Close()
			return
		}
		if time.Since(begin) > time.Minute {
			s.kill()
			s.t.Fatalf("slapd does not start: %v\n%s", err, &out)
		}
	}
}

func (s *slapd) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *slapd) client() *tls.Config { return &tls.Config{RootCAs: s.roots} }

// searching is how most tests find entries.
func searching() *Search {
	return &Search{
		Base: "ou=people,dc=example,dc=org", Filter: "(objectClass=inetOrgPerson)",
		BindDN: "cn=mail,dc=example,dc=org", BindPassword: "searching",
	}
}

func (s *slapd) store(cfg Config) *Store {
	s.t.Helper()
	if cfg.URLs == nil {
		cfg.URLs = []string{s.tls}
	}
	cfg.TLS = s.client()
	cfg.Timeout = 20 * time.Second // a busy machine
	store, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { store.Close() })
	return store
}
