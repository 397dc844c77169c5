// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oidcprovider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The secrets of the clients by the name of their file.
var secrets = map[string]string{
	"awkward":  "p@ss w0rd:/+%&=?#\"'\\<>~!$*()[]{}|^`,;-._",
	"plain":    "plain-secret-plain-secret",
	"rotating": "the-first-secret",
	"long":     "a-secret-of-more-than-thirty-two-bytes-for-hs256",
}

// prepare writes everything that the server and its clients read.
func (p *Provider) prepare() error {
	if err := os.Mkdir(filepath.Join(p.Dir, "secrets"), 0o700); err != nil {
		return err
	}
	for name, secret := range secrets {
		if err := p.Write("secrets/"+name, []byte(secret)); err != nil {
			return err
		}
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if err := errors.Join(p.Rekey(), p.writePair("ps256", rs)); err != nil {
		return err
	}
	servers, err := NewAuthority("servers")
	if err != nil {
		return err
	}
	clients, err := NewAuthority("clients")
	if err != nil {
		return err
	}
	return errors.Join(p.Serve(servers), p.Accept(clients), p.Identify(clients, "orders"))
}

// Write writes a file of the folder anew and renames it into place.
func (p *Provider) Write(name string, data []byte) error {
	path := filepath.Join(p.Dir, name)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Rekey writes a new key of the client key-es256, whose public half the server reads for the next request.
func (p *Provider) Rekey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return p.writePair("es256", key)
}

// writePair writes the two sides of a key as NAME.pem and NAME.pub.
func (p *Provider) writePair(name string, key crypto.Signer) error {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return errors.Join(p.Write(name+".pem", block("PRIVATE KEY", private)), p.Write(name+".pub", block("PUBLIC KEY", public)))
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Authority issues certificates.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &Authority{key: key, certificate: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, key.Public(), key)
	if err != nil {
		return nil, err
	}
	a.certificate, err = x509.ParseCertificate(der)
	return a, err
}

// issue returns a certificate for a name and the loopback address, and its key.
func (a *Authority) issue(name string) (certificate, private []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	private, err = x509.MarshalPKCS8PrivateKey(key)
	return block("CERTIFICATE", der), block("PRIVATE KEY", private), err
}

// Serve gives the server a certificate by the authority, and lets Client trust that. The server uses it after Reload.
func (p *Provider) Serve(a *Authority) error {
	certificate, key, err := a.issue("oidc-provider")
	if err != nil {
		return err
	}
	err = errors.Join(p.Write("server.pem", certificate), p.Write("server-key.pem", key), p.Write("ca.pem", block("CERTIFICATE", a.certificate.Raw)))
	if err != nil {
		return err
	}
	return p.trust()
}

// Accept makes the authority the one whose clients the server lets in, from Reload on.
func (p *Provider) Accept(a *Authority) error {
	return p.Write("client-ca.pem", block("CERTIFICATE", a.certificate.Raw))
}

// Identify writes client.pem and client-key.pem: a certificate for a client's name.
func (p *Provider) Identify(a *Authority, name string) error {
	certificate, key, err := a.issue(name)
	if err != nil {
		return err
	}
	return errors.Join(p.Write("client.pem", certificate), p.Write("client-key.pem", key))
}
