// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// An OpenID provider for the tests of the oauth2 source: `node server.mjs DIR`. DIR holds what the test made: server.pem and
// server-key.pem, client-ca.pem, the public keys es256.pub and ps256.pub, and a secret per file in secrets/. On standard
// output it writes one JSON object a line: where it listens when it is ready, then each answer of the token endpoint, and how
// many connections are open whenever that changes. SIGUSR2 asks for a line to wait for. SIGHUP makes it read its certificate and its clients' CA again; secrets
// are read for every request.

import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import https from "node:https";
import { join } from "node:path";
import { calculateJwkThumbprint } from "jose";
import { Provider } from "oidc-provider";
import MemoryAdapter from "oidc-provider/lib/adapters/memory_adapter.js";

const dir = process.argv[2];
const read = (name) => readFileSync(join(dir, name), "utf8");
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

const publicKey = async (name) => {
	const jwk = createPublicKey(read(name)).export({ format: "jwk" });
	return { ...jwk, kid: await calculateJwkThumbprint(jwk), use: "sig" };
};

// Every client by its id; secret names a file in secrets/, and keys say that it has registered some.
const clients = {
	"svc:a/b c": { secret: "awkward", token_endpoint_auth_method: "client_secret_basic" },
	plain: { secret: "plain", token_endpoint_auth_method: "client_secret_post" },
	rotating: { secret: "rotating", token_endpoint_auth_method: "client_secret_basic" },
	"key-es256": { keys: true, token_endpoint_auth_method: "private_key_jwt" },
	"key-ps256": {
		keys: true, token_endpoint_auth_method: "private_key_jwt", token_endpoint_auth_signing_alg: "PS256",
	},
	"secret-jwt": { secret: "long", token_endpoint_auth_method: "client_secret_jwt", token_endpoint_auth_signing_alg: "HS256" },
	mtls: {
		token_endpoint_auth_method: "tls_client_auth", tls_client_auth_subject_dn: "CN=orders",
		tls_client_certificate_bound_access_tokens: true,
	},
	dpop: { secret: "plain", token_endpoint_auth_method: "client_secret_basic", dpop_bound_access_tokens: true },
	refresher: {
		secret: "plain", token_endpoint_auth_method: "client_secret_basic", grant_types: ["refresh_token", "authorization_code"],
		response_types: ["code"], redirect_uris: ["https://client.example.com/callback"],
	},
};

class ClientAdapter {
	async find(id) {
		if (!Object.hasOwn(clients, id)) return undefined;
		const { secret, keys, ...registered } = clients[id];
		const client = { client_id: id, grant_types: ["client_credentials"], response_types: [], redirect_uris: [], ...registered };
		if (secret) client.client_secret = read(`secrets/${secret}`);
		if (keys) client.jwks = { keys: [await publicKey("es256.pub"), await publicKey("ps256.pub")] };
		return client;
	}
}

// How long the tokens for a resource live; those without a resource are opaque and live 90 s.
const lives = { "https://api.example.com": 300, "https://short.example.com": 20 };

function configuration(mtlsURL) {
	const signing = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
	return {
		adapter: (model) => (model === "Client" ? new ClientAdapter() : new MemoryAdapter(model)),
		clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt", "client_secret_jwt", "tls_client_auth"],
		discovery: { mtls_endpoint_aliases: { token_endpoint: `${mtlsURL}/token` } },
		enabledJWA: { clientAuthSigningAlgValues: ["ES256", "PS256", "HS256"] },
		features: {
			clientCredentials: { enabled: true },
			devInteractions: { enabled: false },
			dPoP: { enabled: true },
			mTLS: {
				enabled: true, certificateBoundAccessTokens: true, tlsClientAuth: true,
				getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
				certificateAuthorized: (ctx) => ctx.socket.authorized,
				certificateSubjectMatches: (ctx, property, expected) => ctx.socket.getPeerX509Certificate().subject === expected,
			},
			resourceIndicators: {
				enabled: true,
				defaultResource: () => undefined,
				getResourceServerInfo: (ctx, resource) => ({
					scope: "read", audience: resource, accessTokenTTL: lives[resource], accessTokenFormat: "jwt",
					jwt: { sign: { alg: "RS256" } },
				}),
			},
		},
		findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
		jwks: { keys: [{ ...signing, alg: "RS256", use: "sig" }] },
		rotateRefreshToken: true,
		scopes: ["openid", "offline_access", "read"],
		ttl: {
			AccessToken: 90, RefreshToken: 3600, Grant: 3600, IdToken: 90,
			ClientCredentials: (ctx, token) => token.resourceServer?.accessTokenTTL ?? 90,
		},
	};
}

// A refresh token as the authorization code flow would have left it with the operator.
async function refreshToken(provider) {
	const client = await provider.Client.find("refresher");
	const grant = new provider.Grant({ accountId: "operator", clientId: client.clientId });
	grant.addOIDCScope("openid offline_access");
	const grantId = await grant.save();
	return new provider.RefreshToken({
		accountId: "operator", client, grantId, gty: "authorization_code", scope: "openid offline_access", rotations: 0,
	}).save();
}

const tls = () => ({ cert: read("server.pem"), key: read("server-key.pem"), minVersion: "TLSv1.3" });
const mutual = () => ({ ...tls(), ca: read("client-ca.pem") });
const server = https.createServer(tls());
// Node itself would close a connection whose certificate it rejects without an alert; the provider answers.
const mtls = https.createServer({ ...mutual(), requestCert: true, rejectUnauthorized: false });

process.on("SIGHUP", () => {
	server.setSecureContext(tls());
	mtls.setSecureContext(mutual());
	say({ event: "reloaded" });
});

// After this line, all that was answered before the signal has been said.
process.on("SIGUSR2", () => say({ event: "mark" }));

let open = 0;
const url = {};
for (const [name, s] of Object.entries({ server, mtls })) {
	const count = (by) => say({ event: "connections", open: (open += by) });
	s.on("connection", (socket) => {
		count(1);
		socket.on("close", () => count(-1));
	});
	await new Promise((resolve) => s.listen(0, "127.0.0.1", resolve));
	url[name] = `https://127.0.0.1:${s.address().port}`;
}

const provider = new Provider(url.server, configuration(url.mtls));
provider.use(async (ctx, next) => {
	if (existsSync(join(dir, "rfc8414"))) {
		const [openid, oauth] = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];
		if (ctx.path === openid) return; // 404
		if (ctx.path === oauth) ctx.path = openid;
	}
	await next();
	if (ctx.path === "/token") {
		const { error = "", error_description: description = "" } = ctx.body ?? {};
		say({ event: "answer", client: ctx.oidc?.client?.clientId ?? "", status: ctx.status, error, description });
	}
});
for (const s of [server, mtls]) s.on("request", provider.callback());
say({ event: "ready", issuer: url.server, mutual: new URL(url.mtls).host, refreshToken: await refreshToken(provider) });
