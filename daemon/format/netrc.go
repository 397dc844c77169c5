// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package format

import (
	"errors"
	"net/netip"

	"github.com/renewd/renewd/daemon"
)

// Netrc is the options of netrc: one line "machine HOST login USER password TOKEN" with a line end.
type Netrc struct {
	Host string `yaml:"host" required:"true" doc:"The name of the server, without scheme, port and path."`
	User string `yaml:"user" required:"true" doc:"The login name that the server expects beside a token, such as oauth2 or x-access-token."`
}

// netrc refuses what its readers would read differently: there is no quoting that all of them know, and a quote, a space
// or # breaks the whole file in Python's parser.
type netrc struct{ Netrc }

func newNetrc(options any, _ Context) (daemon.Format, error) {
	o := *options.(*Netrc)
	var errs []error
	if !hostOnly(o.Host) {
		errs = append(errs, &daemon.FieldError{Field: "host", Problem: "is no name of a server",
			Help: "the name alone, without scheme, port and path, such as git.example.com"})
	}
	if o.User == "" || within("user", o.User, b64token+"@") != nil {
		errs = append(errs, &daemon.FieldError{Field: "user", Problem: "is no login name that netrc can carry",
			Help: "letters, digits and . _ ~ + / = - @"})
	}
	return netrc{o}, errors.Join(errs...)
}

// hostOnly reports whether host is a name or an IP address. With a port or a scheme no reader would ever find the entry.
func hostOnly(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	return host != "" && within("host", host, letters+digits+"-._") == nil
}

func (n netrc) Encode(t daemon.Token) ([]byte, error) {
	if t.Value.IsZero() {
		return nil, errEmpty
	}
	token := t.Value.Reveal()
	if err := within("the token", token, b64token); err != nil {
		return nil, err
	}
	return []byte("machine " + n.Host + " login " + n.User + " password " + token + "\n"), nil
}
