// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// oauth2-mock-server for the tests of the oauth2 source: `node run.mjs`. It writes its issuer to standard output as one line of
// JSON when it is ready. The form parameter "behave" names the alteration of the answer that a request gets.

import { OAuth2Server } from "oauth2-mock-server";

const now = () => Math.floor(Date.now() / 1000);

// What is done to the claims before they are signed, and to the answer before it is sent.
const claims = {
	"exp in a minute": (payload) => { payload.exp = now() + 60; },
	"exp as text": (payload) => { payload.exp = String(now() + 120); },
	"exp as a fraction": (payload) => { payload.exp = now() + 120.9; },
	expired: (payload) => { payload.exp = now() - 60; },
	"nbf near": (payload) => { payload.nbf = now() + 30; },
	"nbf far": (payload) => { payload.nbf = now() + 600; },
};
const answers = {
	"lifetime as text": (answer) => { answer.body.expires_in = "300"; },
	"lifetime in words": (answer) => { answer.body.expires_in = "5m"; },
	"lifetime of none": (answer) => { delete answer.body.expires_in; },
	"lifetime too long": (answer) => { answer.body.expires_in = 1e300; },
	"no type": (answer) => { delete answer.body.token_type; },
	mac: (answer) => { answer.body.token_type = "mac"; },
	narrow: (answer) => { answer.body.scope = "b"; },
	"error in a 200": (answer) => { answer.body = { error: "invalid_scope" }; },
	"error beside a token": (answer) => { answer.body.error = "server_error"; },
	down: (answer) => { answer.statusCode = 503; answer.body = { error: "temporarily_unavailable" }; },
	refused: (answer) => { answer.statusCode = 400; answer.body = { error: "invalid_grant", error_description: "no\nmore" }; },
	"line feed": (answer) => { answer.body.access_token += "\n"; },
};

const server = new OAuth2Server();
await server.issuer.keys.generate("RS256");
server.service.on("beforeTokenSigning", (token, request) => claims[request.body.behave]?.(token.payload));
server.service.on("beforeResponse", (answer, request) => answers[request.body.behave]?.(answer));
await server.start(0, "127.0.0.1");
process.stdout.write(JSON.stringify({ issuer: server.issuer.url, ways: Object.keys({ ...claims, ...answers }) }) + "\n");
