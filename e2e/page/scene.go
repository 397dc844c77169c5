// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package page

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/renewd/renewd/e2e/internal/program"
)

// Scene is a renewd that keeps three tokens in a folder: orders, which it signs, and billing and stock, which it takes from
// files that somebody else writes.
type Scene struct {
	*program.Process
	Dir string
}

const sceneConfig = `version: 1
tokens:
  - name: orders
    source: {sign: {algorithm: ES256, keyFile: ./signing.pem, claims: {iss: orders, aud: [billing]}, ttl: 30m}}
    publish: [{file: ./orders/token, mode: "0644"}]
  - name: billing
    source: {file: {path: ./login/billing.jwt}}
    publish: [{file: ./billing/token, mode: "0640"}]
  - name: stock
    source: {file: {path: ./login/stock.jwt}}
    publish: [{file: ./stock/token, mode: "0644"}, {file: ./stock/token.json, format: json, mode: "0644"}]
status: {listen: "127.0.0.1:0"}
`

// NewScene builds renewd into dir and starts it there. Kill ends it.
func NewScene(dir string) (*Scene, error) {
	binary, err := program.Build(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	s := &Scene{Dir: dir}
	for _, folder := range []string{"login", "orders", "billing", "stock"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			return nil, err
		}
	}
	_, err = program.NewKey(dir)
	config := filepath.Join(dir, "config.yaml")
	err = errors.Join(err,
		s.Login("stock", 22*time.Minute, 38*time.Minute),
		s.Login("billing", 220*time.Second, 80*time.Second),
		os.WriteFile(config, []byte(strings.ReplaceAll(sceneConfig, "DIR", dir)), 0o644))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "run", "--log-level", "INFO", "--config", "config.yaml")
	cmd.Dir = dir
	if s.Process, err = program.Start(cmd, filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	return s, s.await()
}

// await waits until the process listens and has published everything.
func (s *Scene) await() error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s.Address() == "" {
			continue
		}
		if _, err := s.Get("/readyz"); err == nil {
			return nil
		}
	}
	defer s.Kill()
	return fmt.Errorf("renewd is not ready after a minute: %s", s.Log())
}

// Login writes a token as another program would, of this age and with this much life left.
func (s *Scene) Login(name string, age, left time.Duration) error {
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject: name, IssuedAt: jwt.NewNumericDate(now.Add(-age)), ExpiresAt: jwt.NewNumericDate(now.Add(left)),
	}).SignedString([]byte("a key that guards nothing at all"))
	if err != nil {
		return err
	}
	path := s.loginPath(name)
	if err := os.WriteFile(path+".new", []byte(token), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Logout removes the token that another program wrote.
func (s *Scene) Logout(name string) error { return os.Remove(s.loginPath(name)) }

func (s *Scene) loginPath(name string) string { return filepath.Join(s.Dir, "login", name+".jwt") }

// URL returns the address of the page.
func (s *Scene) URL() string { return "http://" + s.Address() + "/" }
