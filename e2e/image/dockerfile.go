// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package image

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ReadDockerfile returns the configuration that the stage `config` of a Dockerfile gives to the image, with these values for
// its arguments. The stage may have ARG, LABEL, USER, ENTRYPOINT and CMD, the last two as JSON lists; anything else is an
// error, so that nothing in it is overlooked.
func ReadDockerfile(path string, args map[string]string) (v1.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return v1.Config{}, err
	}
	stage, err := configStage(string(text))
	if err != nil {
		return v1.Config{}, fmt.Errorf("%s: %w", path, err)
	}
	config := v1.Config{Labels: map[string]string{}}
	for _, line := range stage {
		name, rest, _ := strings.Cut(line, " ")
		rest = os.Expand(strings.TrimSpace(rest), func(arg string) string { return args[arg] })
		switch name {
		case "ARG":
			if arg, _, _ := strings.Cut(rest, "="); args[arg] == "" {
				err = fmt.Errorf("no value for argument %s", arg)
			}
		case "LABEL":
			err = labels(rest, config.Labels)
		case "USER":
			config.User = rest
		case "ENTRYPOINT":
			err = json.Unmarshal([]byte(rest), &config.Entrypoint)
		case "CMD":
			err = json.Unmarshal([]byte(rest), &config.Cmd)
		default:
			err = fmt.Errorf("instruction %s is not known here", name)
		}
		if err != nil {
			return v1.Config{}, fmt.Errorf("%s: %s: %w", path, name, err)
		}
	}
	return config, nil
}

// configStage returns the instructions of the stage, one a line, without comments.
func configStage(text string) (stage []string, err error) {
	text = regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
	_, text, found := strings.Cut(text, "FROM scratch AS config\n")
	if !found {
		return nil, fmt.Errorf("no stage `FROM scratch AS config`")
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "FROM ") {
			break
		}
		if line = strings.TrimSpace(line); line != "" {
			stage = append(stage, line)
		}
	}
	return stage, nil
}

// labels reads NAME="VALUE" pairs.
func labels(text string, into map[string]string) error {
	pair := regexp.MustCompile(`^([a-z.]+)="([^"\\]*)"\s*`)
	for text != "" {
		found := pair.FindStringSubmatch(text)
		if found == nil {
			return fmt.Errorf("want NAME=\"VALUE\": %.40q", text)
		}
		into[found[1]], text = found[2], text[len(found[0]):]
	}
	return nil
}
