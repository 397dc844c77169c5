// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"time"

	"github.com/renewd/renewd/daemon/source/internal/endpoint"
	"github.com/renewd/renewd/daemon/source/internal/keyfile"
)

// Config is the mapping below oauth2. Start from Default.
type Config struct {
	Issuer       string   `yaml:"issuer" doc:"The issuer, byte for byte as its metadata says. Without tokenURL its metadata is asked for the token endpoint in every attempt; with it, it is only the audience of assertions."`
	TokenURL     string   `yaml:"tokenURL" doc:"The token endpoint, instead of discovery: one request fewer in each attempt."`
	AllowedHosts []string `yaml:"allowedHosts" doc:"Other hosts than the issuer's that its metadata may name, as host or host:port."`
	Grant        string   `yaml:"grant" enum:"client_credentials,refresh_token,jwt-bearer,token-exchange" doc:"What is exchanged for the token: client_credentials (RFC 6749 §4.4), refresh_token (§6), jwt-bearer (RFC 7523 §2.1) or token-exchange (RFC 8693)."`

	ClientID         string    `yaml:"clientID" doc:"The client identifier."`
	ClientAuth       string    `yaml:"clientAuth" enum:"auto,basic,basic_raw,post,private_key_jwt,client_secret_jwt,assertion_file,tls_client_auth,none" doc:"How the client proves who it is. auto follows from what is configured: a secret, assertion.keyFile, assertionFile, http.certFile, or nothing. A secret is sent as basic, or as post where the metadata lists only that; basic_raw is basic without the form-encoding of RFC 6749 §2.3.1."`
	ClientSecretFile string    `yaml:"clientSecretFile" doc:"Path of the client secret; one line end behind it is dropped."`
	Assertion        Assertion `yaml:"assertion" doc:"The JWT that private_key_jwt and client_secret_jwt sign (RFC 7523 §2.2), anew for every request."`
	AssertionFile    string    `yaml:"assertionFile" doc:"Path of an assertion that somebody else keeps fresh, such as a projected service-account token."`
	AssertionType    string    `yaml:"assertionType" doc:"The client_assertion_type of assertionFile."`

	RefreshTokenFile string         `yaml:"refreshTokenFile" doc:"For refresh_token: path of the refresh token to begin with. Another token in it is a new beginning."`
	StateFile        string         `yaml:"stateFile" doc:"For refresh_token: path where renewd keeps the latest refresh token, with mode 0600. It must outlive the process, and only one process may use it."`
	GrantAssertion   GrantAssertion `yaml:"grantAssertion" doc:"For jwt-bearer: the JWT that is exchanged, signed with a key or read from a file."`
	Subject          Input          `yaml:"subject" doc:"For token-exchange: the token that is exchanged."`
	Actor            Input          `yaml:"actor" doc:"For token-exchange: the token of the acting party. Empty: none."`
	RequestedType    string         `yaml:"requestedType" doc:"For token-exchange: the type of token that is wanted, as in subject.type. Empty: the issuer chooses."`

	Scopes      []string          `yaml:"scopes" doc:"The scopes to ask for, one list element each."`
	StrictScope bool              `yaml:"strictScope" doc:"Refuse an answer that does not name every scope asked for. Otherwise an answer that names fewer is only noticed."`
	Resource    []string          `yaml:"resource" doc:"The resource indicators (RFC 8707): absolute URIs without a fragment."`
	Audience    []string          `yaml:"audience" doc:"The audience parameters (RFC 8693 §2.1; also Auth0, Hydra)."`
	Parameters  map[string]string `yaml:"parameters" doc:"Further form parameters by name, such as dex's connector_id. Secrets do not belong here."`

	HTTP endpoint.HTTP `yaml:"http" doc:"How the servers are reached and verified."`
}

// Assertion is the mapping assertion.
type Assertion struct {
	KeyFile   string        `yaml:"keyFile" doc:"Path of the private key, in the forms that sign reads. client_secret_jwt takes clientSecretFile instead."`
	Algorithm string        `yaml:"algorithm" enum:"HS256,HS384,HS512,RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA" doc:"The signature algorithm; client_secret_jwt is always HS256."`
	KeyID     string        `yaml:"keyID" doc:"Header kid: auto, none, or a text of your own, as in sign."`
	Type      string        `yaml:"type" doc:"Header typ."`
	Audience  string        `yaml:"audience" doc:"Claim aud: issuer, tokenURL, or a literal."`
	TTL       time.Duration `yaml:"ttl" doc:"From now to exp: 10s to 1h. iat lies 10 seconds back."`
	CertFile  string        `yaml:"certFile" doc:"Path of the key's certificate (PEM), whose thumbprint is written as header x5t#S256, as Entra ID wants. Empty: none."`
}

// GrantAssertion is the mapping grantAssertion.
type GrantAssertion struct {
	File      string         `yaml:"file" doc:"Path of an assertion that somebody else keeps fresh. Nothing else is set then."`
	KeyFile   string         `yaml:"keyFile" doc:"Path of the private key, in the forms that sign reads."`
	Algorithm string         `yaml:"algorithm" enum:"HS256,HS384,HS512,RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA" doc:"The signature algorithm."`
	KeyID     string         `yaml:"keyID" doc:"Header kid: auto, none, or a text of your own, as in sign."`
	Type      string         `yaml:"type" doc:"Header typ."`
	Audience  string         `yaml:"audience" doc:"Claim aud: issuer, tokenURL, or a literal."`
	TTL       time.Duration  `yaml:"ttl" doc:"From now to exp: 10s to 1h. iat lies 10 seconds back."`
	CertFile  string         `yaml:"certFile" doc:"Path of the key's certificate (PEM), whose thumbprint is written as header x5t#S256. Empty: none."`
	Issuer    string         `yaml:"iss" doc:"Claim iss. Empty: clientID."`
	Subject   string         `yaml:"sub" doc:"Claim sub. Empty: the same as iss."`
	Claims    map[string]any `yaml:"claims" doc:"Further claims by name. null as the value of sub or jti leaves it out."`
}

// Input is a token of token exchange: both fields or neither.
type Input struct {
	File string `yaml:"file" doc:"Path of the token."`
	Type string `yaml:"type" doc:"Its type: access_token, refresh_token, id_token, saml1, saml2, jwt, or a URN (RFC 8693 §3)."`
}

// The grants.
const (
	clientCredentials = "client_credentials"
	refreshToken      = "refresh_token"
	jwtBearer         = "jwt-bearer"
	tokenExchange     = "token-exchange"
)

// The values of ClientAuth.
const (
	authAuto      = "auto"
	authBasic     = "basic"
	authBasicRaw  = "basic_raw"
	authPost      = "post"
	authKey       = "private_key_jwt"
	authSecretJWT = "client_secret_jwt"
	authFile      = "assertion_file"
	authTLS       = "tls_client_auth"
	authNone      = "none"
)

// The values of an audience that are not a literal.
const (
	audienceIssuer   = "issuer"
	audienceTokenURL = "tokenURL"
)

const jwtBearerAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Default returns what an empty mapping means. It names no server.
func Default() Config {
	return Config{
		Grant: clientCredentials, ClientAuth: authAuto, AssertionType: jwtBearerAssertion,
		Assertion: Assertion{
			Algorithm: "ES256", KeyID: keyfile.Auto, Type: "client-authentication+jwt", Audience: audienceIssuer, TTL: time.Minute,
		},
		GrantAssertion: GrantAssertion{Algorithm: "ES256", KeyID: keyfile.Auto, Type: "JWT", Audience: audienceIssuer, TTL: time.Minute},
		HTTP:           endpoint.DefaultHTTP(),
	}
}
