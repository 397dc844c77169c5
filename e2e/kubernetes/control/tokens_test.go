// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package control

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/renewd/renewd/e2e/kubernetes/internal/cluster"
	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// asker is a configuration that asks for a token of a service account, and the files that it names.
type asker struct {
	dir    string
	ns     string
	own    string   // the service account whose token renewd shows
	source []string // more lines of the source
}

// newAsker makes a service account, and a file with its token as the kubelet would mount it.
func newAsker(t *testing.T, ns string, source ...string) *asker {
	t.Helper()
	a := &asker{dir: t.TempDir(), ns: ns, own: "asker", source: source}
	account(t, ns, a.own)
	write(t, a.dir, "own", tokenOf(t, ns, a.own, &authenticationv1.TokenRequestSpec{}))
	return a
}

func account(t *testing.T, ns, name string) {
	t.Helper()
	made := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := lab.Client.CoreV1().ServiceAccounts(ns).Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func tokenOf(t *testing.T, ns, account string, spec *authenticationv1.TokenRequestSpec) string {
	t.Helper()
	answer, err := lab.Client.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{Spec: *spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status.Token
}

// config writes the configuration and returns its path.
func (a *asker) config(t *testing.T, refresh string) string {
	t.Helper()
	return write(t, a.dir, "config.yaml", fmt.Sprintf(`version: 1
tokens:
  - name: orders
    source:
      kubernetes:
        server: %s
        tokenFile: %s/own
        http: {caFile: %s}
        %s
    refresh: {%s}
    publish:
      - file: %s/token
`, lab.Server, a.dir, lab.CA, strings.Join(a.source, "\n        "), refresh, a.dir))
}

// once publishes one token and returns it.
func (a *asker) once(t *testing.T) (string, error) {
	t.Helper()
	if _, err := trial.Output(program(t, "once", "--force", "-c", a.config(t, "")), ""); err != nil {
		return "", err
	}
	token, err := os.ReadFile(filepath.Join(a.dir, "token"))
	return string(token), err
}

// program is a command of renewd with none of the variables that configure it.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), renewd, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "RENEWD_") || strings.HasPrefix(v, "KUBERNETES_")
	})
	return cmd
}

// review asks the API server whom a token speaks for. An empty answer: for nobody.
func review(t *testing.T, token string, audiences ...string) string {
	t.Helper()
	answer, err := lab.Client.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status.User.Username
}

// allow gives a service account a rule in its namespace.
func allow(t *testing.T, ns, account string, rule rbacv1.PolicyRule) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: account}
	_, err := lab.Client.RbacV1().Roles(ns).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{})
	if err == nil {
		_, err = lab.Client.RbacV1().RoleBindings(ns).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: ns}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mayAsk is the rule that renewd needs.
func mayAsk(names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: names, Verbs: []string{"create"}}
}

// TestRefusalSaysTheMissingRule follows what renewd says after a refusal, to the letter, and has its token.
func TestRefusalSaysTheMissingRule(t *testing.T) {
	ns := namespace(t, nil)
	account(t, ns, "orders")
	a := newAsker(t, ns, "serviceAccount: orders", "audiences: [vault]")
	_, err := a.once(t)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 77 {
		t.Fatalf("without a rule: %v, want exit code 77", err)
	}
	found := regexp.MustCompile(`\{apiGroups: .*?\}`).FindString(err.Error())
	var rule rbacv1.PolicyRule
	if err := yaml.UnmarshalStrict([]byte(found), &rule); err != nil || found == "" {
		t.Fatalf("no rule in what it says: %v", err)
	}
	allow(t, ns, a.own, rule)
	trial.Eventually(t, 10*time.Second, func() error { // the server's authorizer sees the rule a little later
		token, err := a.once(t)
		if err == nil && review(t, token, "vault") != "system:serviceaccount:"+ns+":orders" {
			t.Errorf("the token speaks for %q", review(t, token, "vault"))
		}
		return err
	})
}

// TestLifetimesAreTheServersOwn asks for lives and reads what the server gave.
func TestLifetimesAreTheServersOwn(t *testing.T) {
	ns := namespace(t, nil)
	for asked, want := range map[string]time.Duration{"10m": 10 * time.Minute, "1h": time.Hour, "48h": cluster.LongestToken} {
		t.Run(asked, func(t *testing.T) {
			a := newAskerFor(t, ns, asked)
			token, err := a.once(t)
			if err != nil {
				t.Fatal(err)
			}
			status := must(t)(trial.Output(program(t, "status", "-c", a.config(t, "")), ""))
			c := claimsOf(t, token)
			if got := time.Duration(c.Expires-c.Issued) * time.Second; got != want {
				t.Errorf("the life is %v, want %v", got, want)
			}
			if c.Issuer != cluster.Issuer || !strings.Contains(status, "orders") {
				t.Errorf("issuer %q; status says\n%s", c.Issuer, status)
			}
		})
	}
}

// newAskerFor asks for a token of its own account with a life.
func newAskerFor(t *testing.T, ns, expiration string) *asker {
	t.Helper()
	a := &asker{dir: t.TempDir(), ns: ns, own: "for-" + expiration, source: []string{"audiences: [vault]", "expiration: " + expiration}}
	account(t, ns, a.own)
	allow(t, ns, a.own, mayAsk(a.own))
	write(t, a.dir, "own", tokenOf(t, ns, a.own, &authenticationv1.TokenRequestSpec{}))
	return a
}

// TestTokenEndsWithItsPod binds a token to a pod: it is good as long as the pod is there, and is not given afterwards.
func TestTokenEndsWithItsPod(t *testing.T) {
	ns := namespace(t, nil)
	pods := lab.Client.CoreV1().Pods(ns)
	a := newAsker(t, ns)
	allow(t, ns, a.own, mayAsk(a.own))
	pod := labelled(&corev1.Pod{})
	pod.Labels = nil
	pod.Spec.ServiceAccountName = a.own
	pod, err := pods.Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a.source = []string{"audiences: [vault]", fmt.Sprintf("boundTo: {kind: Pod, name: %s, uid: %s}", pod.Name, pod.UID)}
	token, err := a.once(t)
	if err != nil {
		t.Fatal(err)
	}
	if who := review(t, token, "vault"); who == "" {
		t.Error("the token is good for nobody while the pod is there")
	}
	if err := pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
		t.Fatal(err)
	}
	trial.Eventually(t, 30*time.Second, func() error { // the server remembers a good token for a few seconds
		if who := review(t, token, "vault"); who != "" {
			return fmt.Errorf("the token still speaks for %s", who)
		}
		return nil
	})
	if _, err := a.once(t); err == nil || !strings.Contains(err.Error(), "there is no Pod \"app\"") {
		t.Errorf("for a pod that is gone: %v", err)
	}
}

// TestWrongTokensAreExplained shows the server tokens that it does not take.
func TestWrongTokensAreExplained(t *testing.T) {
	ns := namespace(t, nil)
	for name, c := range map[string]struct {
		spec   authenticationv1.TokenRequestSpec
		source string
		want   string
	}{
		"for another audience": {authenticationv1.TokenRequestSpec{Audiences: []string{"elsewhere"}}, "", "is not the API server's own"},
		"no such account":      {authenticationv1.TokenRequestSpec{}, "serviceAccount: nobody", "has no service account \"nobody\""},
	} {
		t.Run(name, func(t *testing.T) {
			a := &asker{dir: t.TempDir(), ns: ns, own: "asker-" + strings.ReplaceAll(name, " ", "-")}
			account(t, ns, a.own)
			allow(t, ns, a.own, mayAsk())
			if c.source != "" {
				a.source = []string{c.source}
			}
			write(t, a.dir, "own", tokenOf(t, ns, a.own, &c.spec))
			trial.Eventually(t, 10*time.Second, func() error {
				_, err := a.once(t)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					return fmt.Errorf("%w, want %q", err, c.want)
				}
				return nil
			})
		})
	}
}

// TestRunKeepsATokenFresh runs renewd with a short interval, and rotates underneath what the kubelet rotates: its own token. At every
// moment the file holds a token that the server takes.
func TestRunKeepsATokenFresh(t *testing.T) {
	ns := namespace(t, nil)
	a := newAsker(t, ns, "audiences: [vault]")
	allow(t, ns, a.own, mayAsk(a.own))
	stop := running(t, a.dir, program(t, "run", "-c", a.config(t, "interval: 1s, spread: false")))
	seen := map[string]bool{}
	rotated := false
	trial.Eventually(t, 30*time.Second, func() error {
		token, err := os.ReadFile(filepath.Join(a.dir, "token"))
		if err != nil {
			return err
		}
		if !seen[string(token)] && review(t, string(token), "vault") == "" {
			t.Error("the server does not take the token of the file")
		}
		seen[string(token)] = true
		if len(seen) >= 2 && !rotated {
			rotated = true
			write(t, a.dir, "next", tokenOf(t, ns, a.own, &authenticationv1.TokenRequestSpec{}))
			if err := os.Rename(filepath.Join(a.dir, "next"), filepath.Join(a.dir, "own")); err != nil {
				return err
			}
		}
		if len(seen) < 5 {
			return fmt.Errorf("%d tokens so far", len(seen))
		}
		return nil
	})
	stop()
}

// running starts renewd. What it returns ends it as Kubernetes does: it must be over within two seconds, with 0.
func running(t *testing.T, dir string, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		t.Helper()
		stopped = true
		began := time.Now()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil || time.Since(began) > 30*time.Second {
			t.Errorf("it ended after %v: %v", time.Since(began), err)
		}
	}
	t.Cleanup(func() {
		if !stopped {
			_ = cmd.Process.Kill() // the test has failed already
			_ = cmd.Wait()
		}
		if t.Failed() {
			said, err := os.ReadFile(log.Name())
			t.Logf("renewd said (%v):\n%s", err, said[max(0, len(said)-3000):])
		}
	})
	return stop
}
