// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package keyfile

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// fromPEM looks at every block. A public key beside a private one does no harm, so it counts only if nothing else is
// there.
func (f File) fromPEM(data []byte) []candidate {
	// Environment variables and JSON in between often leave the two characters \n for a line end.
	data = bytes.ReplaceAll(data, []byte(`\n`), []byte("\n"))
	var found, public []candidate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "EC PARAMETERS", "CERTIFICATE":
		case "PUBLIC KEY", "RSA PUBLIC KEY":
			public = append(public, candidate{problem: "is a public key; signing needs the private one", hint: "give the private key's file"})
		default:
			found = append(found, f.fromBlock(block))
		}
	}
	switch {
	case len(found) > 0:
		return found
	case len(public) > 0:
		return public
	}
	return []candidate{{problem: "has no private key in its PEM text", hint: "look for a block without its END line, and for a certificate in the key's place"}}
}

// ssh-keygen leaves Ed25519 keys as they are, whatever the format asked for.
const opensshHint = "convert a copy of an RSA or EC key: ssh-keygen -p -N '' -m PKCS8 -f COPY; make an Ed25519 key: openssl genpkey -algorithm ed25519 -out KEY"

func (f File) fromBlock(block *pem.Block) candidate {
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return candidate{problem: "is encrypted", hint: fmt.Sprintf("decrypt it: openssl pkey -in %q -out KEY", f.Path)}
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "OPENSSH PRIVATE KEY":
		return candidate{problem: "is in OpenSSH's own format", hint: opensshHint}
	default:
		return candidate{problem: fmt.Sprintf("has a PEM block %q, which is no private key", cut(block.Type))}
	}
	if err != nil {
		// The parsers' errors tell numbers read from the key, so they are not passed on.
		return candidate{
			problem: fmt.Sprintf("has a PEM block %q that is damaged, or of a kind or curve that JWTs do not use", block.Type),
			hint:    fmt.Sprintf("see what it is: openssl pkey -in %q -noout -check", f.Path),
		}
	}
	return candidate{key: key}
}
