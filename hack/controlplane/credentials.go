package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"github.com/laidoulaile/channel-operator/hack/loopback"
)

// As long as the CA that client-go makes: a development cluster is not rotated.
const certificateLife = 10 * 365 * 24 * time.Hour

// credentials are the files of one cluster. They are made together, once; the token
// comes last, so that it tells whether the others are whole.
type credentials struct{ dir string }

func (c credentials) path(name string) string { return filepath.Join(c.dir, name) }
func (c credentials) caCert() string          { return c.path("ca.crt") }
func (c credentials) servingCert() string     { return c.path("apiserver.crt") }
func (c credentials) servingKey() string      { return c.path("apiserver.key") }
func (c credentials) accountKey() string      { return c.path("service-account.key") }
func (c credentials) tokens() string          { return c.path("tokens.csv") }

// loadCredentials makes those that are missing.
func loadCredentials(dir string) (credentials, error) {
	c := credentials{dir: filepath.Join(dir, "credentials")}
	_, err := os.Stat(c.tokens())
	if errors.Is(err, fs.ErrNotExist) {
		err = c.create()
	}
	return c, err
}

func (c credentials) create() error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	caKey, err := newKey()
	if err != nil {
		return err
	}
	ca, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "channel-operator local control plane"}, caKey)
	if err != nil {
		return err
	}
	servingKey, err := newKey()
	if err != nil {
		return err
	}
	serving, err := servingCertificate(ca, caKey, servingKey.Public())
	if err != nil {
		return err
	}
	accountKey, err := newKey()
	if err != nil {
		return err
	}
	return errors.Join(
		writeFile(c.caCert(), certificatePEM(ca.Raw)),
		writeKey(c.path("ca.key"), caKey), // for whoever needs another client certificate
		writeFile(c.servingCert(), certificatePEM(serving)),
		writeKey(c.servingKey(), servingKey),
		writeKey(c.accountKey(), accountKey),
		writeFile(c.tokens(), adminToken()),
	)
}

// adminToken is a line of --token-auth-file: token, user, uid, groups.
func adminToken() []byte {
	var token [32]byte
	_, _ = rand.Read(token[:]) // never fails
	return []byte(hex.EncodeToString(token[:]) + `,admin,admin,"system:masters"` + "\n")
}

func (c credentials) token() (string, error) {
	line, err := os.ReadFile(c.tokens())
	if err != nil {
		return "", err
	}
	token, _, found := strings.Cut(string(line), ",")
	if !found {
		return "", fmt.Errorf("%s: no token in it", c.tokens())
	}
	return token, nil
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func servingCertificate(ca *x509.Certificate, caKey crypto.Signer, key crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:     []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses:  []net.IP{net.ParseIP(loopback.Host)},
		NotBefore:    ca.NotBefore,
		NotAfter:     time.Now().Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	return x509.CreateCertificate(rand.Reader, template, ca, key, caKey)
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	data, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return err
	}
	return writeFile(file, data)
}

// kubeconfig is the admin's, with everything embedded: it may be copied elsewhere.
func (c credentials) kubeconfig(server string) ([]byte, error) {
	ca, err := os.ReadFile(c.caCert())
	if err != nil {
		return nil, err
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	const name = "local"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.Write(*config)
}

// writeFile is there whole or not at all, and for its owner only.
func writeFile(file string, data []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}
