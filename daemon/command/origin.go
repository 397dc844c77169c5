// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon/config"
)

const (
	defaultPath = "/etc/renewd/config.yaml"
	configText  = "RENEWD_CONFIG_YAML" // the variable that may carry the whole text where no file can be mounted
)

// origin says where the configuration comes from: a file or a variable, if not the flags of a single token.
type origin struct {
	path   string // --config
	listen string // --listen, which outranks status.listen
	socket string // --socket, which outranks status.socket
}

// flags adds the flags that all commands with a configuration have.
func (a *app) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&a.from.path, "config", "c", "", "configuration `file`; relative paths in it start at the working directory (default "+defaultPath+", if there is one)")
	f.StringVar(&a.from.listen, "listen", "", "`address` of health, metrics and status, such as 127.0.0.1:9736; outranks status.listen")
	f.StringVar(&a.from.socket, "socket", "", "`path` of the admin socket; outranks status.socket")
	addSingle(f)
	for _, k := range allFlags() {
		if !takesFlag(c.Name(), k) {
			_ = f.MarkHidden(k.flag) // it was added above
		}
	}
	if !slices.Contains([]string{"run", "status", "healthcheck", "refresh", "explain", "set"}, c.Name()) {
		_, _ = f.MarkHidden("listen"), f.MarkHidden("socket") // nobody is served or asked
	}
}

// takesFlag reports whether a flag of a single token is of use to a command. Others take it too, since it is also a variable,
// but do not list it.
func takesFlag(name string, k flagKey) bool {
	if name == "simulate" {
		return slices.Contains(refreshFlags, k)
	}
	return slices.Contains([]string{"run", "once", "check", "plan", "wait", "healthcheck"}, name)
}

// loader returns the reader of configurations.
func loader() config.Loader {
	return config.Loader{Lookup: os.LookupEnv, Version: version()}
}

// loaded is a configuration and where it came from.
type loaded struct {
	*config.Config
	path string // of the file; empty if there is none
}

// load reads the configuration from where the command line says.
func (a *app) load(c *cobra.Command) (*loaded, error) {
	one := single{flags: c.Flags()}
	path, text, name, err := a.locate(&one)
	if err != nil {
		return nil, err
	}
	if path != "" {
		if text, err = readFile("configuration", path, config.MaxBytes); err != nil {
			return nil, err
		}
		name = path
	}
	conf, err := a.parse(name, text)
	if err != nil {
		if name == flagsName {
			return nil, &exit{code: exitUsage, err: one.explain(err)} // as for every other flag with a wrong value
		}
		return nil, &exit{code: exitConfig, err: err}
	}
	return &loaded{conf, path}, nil
}

// locate finds the configuration: a path to read, or a text with a name.
func (a *app) locate(one *single) (path string, text []byte, name string, err error) {
	fromVariable := os.Getenv(configText)
	switch {
	case a.from.path != "":
		path = a.from.path
	case fromVariable != "":
		name, text = configText, []byte(fromVariable)
	case one.given(false):
		text, err = one.document()
		return "", text, flagsName, err
	default:
		if _, err := os.Stat(defaultPath); errors.Is(err, fs.ErrNotExist) {
			help := "give --config FILE, or one token by flags: --sign-key KEY --ttl 30m --out ./token; `renewd demo` needs neither"
			if socket := one.flags.Lookup("socket"); socket != nil && !socket.Hidden && one.flags.Lookup("sign-key").Hidden {
				help = "give --config FILE, or where the daemon listens: --socket PATH"
			}
			return "", nil, "", &exit{code: exitUsage, err: errors.New("no configuration"), help: help}
		}
		path = defaultPath
	}
	if one.given(true) {
		return "", nil, "", &exit{
			code: exitUsage, err: errors.New("flags of a single token beside a configuration"),
			help: "leave out --config, or write what the flags say into the configuration",
		}
	}
	return path, text, name, nil
}

// parse reads a text, and puts the flags that outrank it in their place.
func (a *app) parse(name string, text []byte) (*config.Config, error) {
	conf, err := loader().Load(name, text)
	if err != nil {
		return nil, err
	}
	if a.from.listen != "" {
		conf.Status.Listen = a.from.listen
	}
	if a.from.socket != "" {
		conf.Status.Socket = a.from.socket
	}
	return conf, nil
}

// readFile reads a file that a user named, and no more of it than it may have: what is longer is the parser's to refuse. It
// does not wait for whoever writes into a pipe.
func readFile(what, path string, most int64) ([]byte, error) {
	data, err := readRegular(path, most)
	if err != nil {
		return nil, &exit{code: exitConfig, err: fmt.Errorf("read %s: %s", what, strings.TrimPrefix(err.Error(), "open "))}
	}
	return data, nil
}

func readRegular(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	return io.ReadAll(io.LimitReader(f, most+1))
}
