// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2_test

import (
	"testing"

	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/source/oauth2"
)

// What the documents say for each provider can be written.
func TestProviders(t *testing.T) {
	for name, text := range map[string]string{
		"oidc-provider": `{issuer: https://idp.test, clientID: a, clientSecretFile: /s, clientAuth: basic}`,
		"zitadel":       `{issuer: "https://idp.test/", grant: jwt-bearer, grantAssertion: {audience: issuer, keyFile: /k, iss: a}}`,
		"dex": `{issuer: https://idp.test, clientID: a, clientSecretFile: /s, grant: token-exchange, clientAuth: basic,
  subject: {file: /t, type: id_token}, scopes: [openid], parameters: {connector_id: k8s}}`,
		"Keycloak": `{issuer: https://idp.test/realms/r, clientAuth: assertion_file, assertionFile: /t}`,
		"Entra ID": `{tokenURL: https://idp.test/T/oauth2/v2.0/token, clientID: a, clientAuth: private_key_jwt, scopes: [r/.default],
  assertion: {keyFile: /k, algorithm: PS256, audience: tokenURL, type: JWT, certFile: /c}}`,
		"Google workload": `{tokenURL: https://sts.test/v1/token, grant: token-exchange, clientAuth: none, subject: {file: /t, type: jwt},
  requestedType: access_token, audience: ["//iam.test/projects/N"], scopes: [https://www.test/auth/cloud-platform]}`,
		"Google key file": `{tokenURL: https://oauth2.test/token, grant: jwt-bearer,
  grantAssertion: {keyFile: /k, algorithm: RS256, audience: tokenURL, ttl: 50m, iss: sa@x, claims: {scope: a}}}`,
		"refresh token": `{issuer: https://idp.test, clientID: a, clientAuth: none, grant: refresh_token, refreshTokenFile: /r, stateFile: /s}`,
		"mutual TLS":    `{issuer: https://idp.test, clientID: a, http: {caFile: /ca, certFile: /c, keyFile: /k, proxy: none}}`,
	} {
		c := oauth2.Default()
		if err := strict.Decode(strict.Options{MaxBytes: 1 << 20}, []byte(text), &c).Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s, err := oauth2.New(c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Endpoint() == "" {
			t.Errorf("%s: no endpoint", name)
		}
	}
}
