// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package oidcprovider tests the oauth2 source against oidc-provider, a certified OpenID provider that runs on Node. `npm ci`
// in this folder installs it; its configuration is server.mjs. It knows nothing of the program's packages.
package oidcprovider

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Provider is a running server and the folder that it reads.
type Provider struct {
	Dir          string // with everything that server.mjs says it reads, ca.pem, client.pem and client-key.pem, es256.pem and ps256.pem
	Issuer       string
	Mutual       string // host and port that want a client certificate
	RefreshToken string // that nobody has used yet
	Client       *http.Client

	cmd    *exec.Cmd
	output sync.WaitGroup // the reading of it

	mu     sync.Mutex
	events []event
}

// event is a line of the server's.
type event struct {
	Event        string
	Issuer       string
	Mutual       string
	RefreshToken string
	Open         int
	Answer
}

// Answer is an answer of the token endpoint.
type Answer struct {
	Client, Error, Description string
	Status                     int
}

// Start makes keys, certificates and secrets in dir and starts the server. Stop ends it.
func Start(dir string) (*Provider, error) {
	p := &Provider{Dir: dir}
	if err := p.prepare(); err != nil {
		return nil, err
	}
	p.cmd = exec.Command("node", "server.mjs", dir)
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.output.Go(func() { p.listen(out) })
	ready, err := p.await("ready", 0)
	if err != nil {
		p.Stop()
		said, _ := os.ReadFile(log.Name()) // it only explains the error
		return nil, fmt.Errorf("%w; is it installed (npm ci)? It said: %.1000s", err, said)
	}
	p.Issuer, p.Mutual, p.RefreshToken = ready.Issuer, ready.Mutual, ready.RefreshToken
	return p, nil
}

// Stop kills the server.
func (p *Provider) Stop() {
	_ = p.cmd.Process.Kill() // it may have ended
	p.output.Wait()
	_ = p.cmd.Wait() // says that it was killed
}

func (p *Provider) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e = event{Event: "garbage: " + lines.Text()}
		}
		p.mu.Lock()
		p.events = append(p.events, e)
		p.mu.Unlock()
	}
}

// find returns the events of a kind so far.
func (p *Provider) find(kind string) (found []event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if e.Event == kind {
			found = append(found, e)
		}
	}
	return found
}

// await waits for one more event of a kind than there were before.
func (p *Provider) await(kind string, before int) (event, error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if found := p.find(kind); len(found) > before {
			return found[before], nil
		}
	}
	return event{}, fmt.Errorf("the server did not say %q", kind)
}

// Asked returns everything that the token endpoint has answered so far.
func (p *Provider) Asked() ([]Answer, error) {
	if err := p.signal(syscall.SIGUSR2, "mark"); err != nil {
		return nil, err
	}
	var list []Answer
	for _, e := range p.find("answer") {
		list = append(list, e.Answer)
	}
	return list, nil
}

// signal sends a signal and waits for what the server says to it.
func (p *Provider) signal(s syscall.Signal, kind string) error {
	before := len(p.find(kind))
	if err := p.cmd.Process.Signal(s); err != nil {
		return err
	}
	_, err := p.await(kind, before)
	return err
}

// Connections returns how many connections are open.
func (p *Provider) Connections() int {
	found := p.find("connections")
	if len(found) == 0 {
		return 0
	}
	return found[len(found)-1].Open
}

// Reload makes the server use the certificates in the folder.
func (p *Provider) Reload() error { return p.signal(syscall.SIGHUP, "reloaded") }

// trust makes Client trust the authority in ca.pem.
func (p *Provider) trust() error {
	pem, err := os.ReadFile(filepath.Join(p.Dir, "ca.pem"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("ca.pem holds no certificate")
	}
	p.Client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	return nil
}

// expand puts the server's folder and issuer into a text.
func (p *Provider) expand(text string) string {
	return strings.NewReplacer("SERVER", p.Dir, "ISSUER", p.Issuer, "MUTUAL", p.Mutual).Replace(text)
}
