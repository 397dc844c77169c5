// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package config

import (
	"time"

	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/schedule"
)

// file is the document as it is written.
type file struct {
	Version   int      `yaml:"version" required:"true" enum:"1" doc:"The version of this file format."`
	Tokens    []token  `yaml:"tokens" required:"true" doc:"The tokens to keep fresh: at least one."`
	Shutdown  shutdown `yaml:"shutdown" doc:"What happens when renewd is told to stop."`
	Status    status   `yaml:"status" doc:"Where the running daemon can be asked how its tokens are."`
	LogPolicy string   `yaml:"logPolicy" doc:"Path of the log policy file. Empty: log-policy.yaml beside the configuration, if there is one."`
}

type shutdown struct {
	KeepFor time.Duration `yaml:"keepFor" doc:"Go on refreshing this long after the signal to stop, for an application that is still draining."`
}

type status struct {
	Listen string `yaml:"listen" example:"127.0.0.1:9736" doc:"host:port for health, metrics and the status page, for example 127.0.0.1:9736. It never serves a token. Empty: no listener."`
	Socket string `yaml:"socket" doc:"Absolute path of the admin socket, mode 0600: status, refresh, log levels. At most 107 bytes. Empty: none."`
}

type token struct {
	Name    string         `yaml:"name" required:"true" doc:"A DNS label (lower-case letters, digits and -, at most 63) that no other token has. Logs, metrics and status call the token by it."`
	Source  strict.OneOf   `yaml:"source" required:"true" choice:"source" doc:"Where the token comes from."`
	Timeout time.Duration  `yaml:"timeout" doc:"How long one attempt to get a token may take: 1s to 10m."`
	Expect  expect         `yaml:"expect" doc:"What a token must satisfy before it replaces the published one."`
	Refresh refresh        `yaml:"refresh" doc:"When the token is refreshed."`
	Publish []publish      `yaml:"publish" required:"true" doc:"Where the token goes: at least one place."`
	Notify  []strict.OneOf `yaml:"notify" choice:"notifier" doc:"Who is told, in this order, after a new token was written."`
	OnExit  string         `yaml:"onExit" enum:"keep,remove" doc:"Whether the published files stay or are removed when renewd stops."`
}

// Default implements strict.Defaulter.
func (t *token) Default() {
	p := schedule.Default()
	*t = token{
		Timeout: 30 * time.Second,
		OnExit:  "keep",
		Expect:  expect{Characters: "b64token", MaxBytes: 16384},
		Refresh: refresh{
			At:     window{Start: p.AtStart, End: p.AtEnd},
			Before: p.Before, Interval: p.Interval, DefaultTTL: p.DefaultTTL,
			Keep: p.Keep, Outage: p.Outage, Floor: p.Floor, Spread: p.Spread,
		},
	}
}

type expect struct {
	Issuer     string   `yaml:"iss" doc:"A JWT must have exactly this issuer. Empty: any."`
	Audience   []string `yaml:"aud" doc:"A JWT must name every one of these audiences."`
	Characters string   `yaml:"characters" enum:"b64token,visible" doc:"b64token: letters, digits and -._~+/= (RFC 6750 §2.1). visible: every visible ASCII character."`
	MaxBytes   int      `yaml:"maxBytes" doc:"The longest token: 1 to 1048576 bytes."`
}

type refresh struct {
	At         window        `yaml:"at" doc:"The part of the life in which the refresh is placed at random: two percentages from 1% to 99%, the smaller first, or one."`
	Before     time.Duration `yaml:"before" doc:"Refresh at the latest this long before expiry. 0: no demand."`
	Interval   time.Duration `yaml:"interval" doc:"Refresh at the latest this long after issue, meant for tokens that do not say when they expire. 0: no demand."`
	DefaultTTL time.Duration `yaml:"defaultTTL" doc:"The life assumed of a token that does not say when it expires, if interval is 0."`
	Keep       time.Duration `yaml:"keep" doc:"While the issuer works, readers find a token with at least this much life left, or a quarter of its life if that is less."`
	Outage     time.Duration `yaml:"outage" doc:"Survive an outage of the issuer this long: the refresh moves earlier if it must. 0: no demand."`
	Floor      time.Duration `yaml:"floor" doc:"Never less than this between two attempts: 100ms to 1h."`
	Spread     bool          `yaml:"spread" doc:"Draw the first refresh after a start from nearly the whole life, so that a fleet started together does not refresh together."`
}

// policy returns the schedule that the fields ask for.
func (r refresh) policy() schedule.Policy {
	return schedule.Policy{AtStart: r.At.Start, AtEnd: r.At.End, Before: r.Before, Interval: r.Interval,
		DefaultTTL: r.DefaultTTL, Keep: r.Keep, Outage: r.Outage, Floor: r.Floor, Spread: r.Spread}
}

type publish struct {
	File      string                  `yaml:"file" doc:"Path of the file to publish. Either this or directory."`
	Directory string                  `yaml:"directory" doc:"Path of a directory to publish a set of files that switch together: token, token.json and those of files. Either this or file."`
	Format    *strict.OneOf           `yaml:"format" choice:"format" doc:"How the file is written. Left out: raw."`
	Files     map[string]strict.OneOf `yaml:"files" choice:"format" doc:"Further files of the directory: the format of each, by its name."`
	Mode      mode                    `yaml:"mode" doc:"Permissions of the files. In a directory whoever may read the files may also enter it."`
	Owner     id                      `yaml:"owner" doc:"Id of the user that owns the files. Empty: unchanged."`
	Group     id                      `yaml:"group" doc:"Id of the group that owns the files. Empty: unchanged."`
}

// Default implements strict.Defaulter.
func (p *publish) Default() {
	*p = publish{Mode: mode{Perm: 0o600}, Owner: id{N: -1}, Group: id{N: -1}}
}
