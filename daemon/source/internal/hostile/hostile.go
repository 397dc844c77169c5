// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package hostile is a fake issuer for tests: it answers over TLS, with certificates of its own authority, exactly what a
// test tells it to, also what no HTTP server would, and counts what it is asked. It is no OAuth server and checks no request.
// Test has a source face the answers that are wrong in any protocol.
package hostile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Request is what an Issuer was asked.
type Request struct {
	Method, Path string
	Header       http.Header
	Form         url.Values
	Body         string
	Peer         *x509.Certificate // of the client; nil: none
}

// Issuer is a server on loopback. Its exported fields do not change; Answer may be replaced between attempts.
type Issuer struct {
	URL    string // https://127.0.0.1:port
	CAFile string // of the authority that its certificate is by

	server *httptest.Server
	mu     sync.Mutex // guards what follows
	answer http.HandlerFunc
	asked  []Request
}

// New starts an issuer that ends with the test. change, if not nil, alters the server before it starts.
func New(t testing.TB, change func(*tls.Config, *CA)) *Issuer {
	t.Helper()
	ca := NewCA(t)
	i := &Issuer{CAFile: ca.File, answer: http.NotFound}
	i.server = httptest.NewUnstartedServer(i)
	i.server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes are meant to go wrong
	i.server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "127.0.0.1", time.Hour)}}
	if change != nil {
		change(i.server.TLS, ca)
	}
	i.server.StartTLS()
	i.URL = i.server.URL
	t.Cleanup(i.server.Close)
	return i
}

// Answer has all later requests answered by f.
func (i *Issuer) Answer(f http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = f
}

// Asked returns the requests so far, oldest first, and forgets them.
func (i *Issuer) Asked() []Request {
	i.mu.Lock()
	defer i.mu.Unlock()
	asked := i.asked
	i.asked = nil
	return asked
}

// ServeHTTP records the request and answers it.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	record := Request{Method: r.Method, Path: r.URL.Path, Header: r.Header, Form: form, Body: string(body)}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		record.Peer = r.TLS.PeerCertificates[0]
	}
	i.mu.Lock()
	i.asked = append(i.asked, record)
	answer := i.answer
	i.mu.Unlock()
	answer(w, r)
}

// JSON answers with status and body as application/json; header lines are "Name: value".
func JSON(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Raw answers with exactly these bytes and closes the connection. A test that sends much does not wait for the reader.
func Raw(chunks ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		connection := hijack(w)
		defer func() { _ = connection.Close() }()
		for _, chunk := range chunks {
			if _, err := io.WriteString(connection, chunk); err != nil {
				return
			}
		}
	}
}

// Drip begins an answer and sends a byte each few milliseconds until the client has gone.
func Drip(w http.ResponseWriter, _ *http.Request) {
	connection := hijack(w)
	defer func() { _ = connection.Close() }()
	_, err := io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
	for err == nil {
		time.Sleep(5 * time.Millisecond)
		_, err = io.WriteString(connection, " ")
	}
}

func hijack(w http.ResponseWriter) net.Conn {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // the test's own server
	}
	return connection
}

// JWT returns a token with this payload and a signature that nobody made.
func JWT(payload string) string {
	b := base64.RawURLEncoding
	return b.EncodeToString([]byte(`{"alg":"ES256"}`)) + "." + b.EncodeToString([]byte(payload)) + "." + b.EncodeToString([]byte("signature"))
}

// Write puts text into a new file of the test and returns its path.
func Write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// CA is a certificate authority of one test.
type CA struct {
	File string // its certificate, PEM
	Pool *x509.CertPool

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewCA makes one.
func NewCA(t testing.TB) *CA {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "renewd test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return &CA{Write(t, "ca.pem", encode("CERTIFICATE", der)), pool, certificate, key}
}

// Issue returns a pair for a host name or an IP address, valid since yesterday and for life from now: a negative life has
// expired.
func (c *CA) Issue(t testing.TB, host string, life time.Duration) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.certificate, key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Files writes a pair as PEM and returns the paths.
func Files(t testing.TB, pair tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return Write(t, "client.pem", encode("CERTIFICATE", pair.Certificate[0])), Write(t, "client.key", encode("PRIVATE KEY", der))
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// Token returns the body of an ordinary answer, with more members if there are any.
func Token(value string, more ...string) string {
	return fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer"%s}`, value, strings.Join(append([]string{""}, more...), ","))
}
