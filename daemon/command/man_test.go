// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/renewd.1 anew")

const manPage = "../../docs/renewd.1"

// manHead is what the page says before the commands, manTail after them.
const (
	manHead = `.\" SPDX-License-Identifier: Apache-2.0
.\" SPDX-FileCopyrightText: The renewd authors
.\" Written by: go test ./daemon/command -run TestManPage -update
.TH RENEWD 1 2026-11-23 renewd "renewd manual"
.SH NAME
renewd \- keeps service tokens fresh in files
`
	manTail = `.SH ENVIRONMENT
.TP
.BI RENEWD_ FLAG
Every flag has a variable: \fB\-\-refresh\-at\fR is \fBRENEWD_REFRESH_AT\fR.
The flag outranks the variable, and the variable the configuration, also after a reload.
Other variables that begin with \fBRENEWD_\fR are ignored.
.TP
.B RENEWD_CONFIG
The path of the configuration, as \fB\-\-config\fR.
.TP
.B RENEWD_CONFIG_YAML, RENEWD_LOG_POLICY_YAML
The whole text of the configuration and of the log policy, where no file can be mounted.
.TP
.B NO_COLOR
No colors in a terminal if this is not empty.
.TP
.B LC_ALL, LC_CTYPE, LANG
.B plan
draws beyond ASCII if the locale is UTF-8.
.TP
.B GOGC, GOMEMLIMIT, GOMAXPROCS
Outrank what
.B run
works out for itself to stay small.
.PP
\fB${NAME}\fR in a value of the configuration stands for the variable of that name; \fB$$\fR stands for a dollar sign.
.SH FILES
.TP
.I /etc/renewd/config.yaml
The configuration, if nothing else is named.
Relative paths in it start at the working directory.
.TP
.I log\-policy.yaml
The log policy, beside the configuration, if nothing else is named.
.TP
.RI . NAME .renewd
The record beside each published file \fINAME\fR: digests and times, never the token.
.TP
.I ./renewd\-demo/
What
.B renewd demo
works in.
.SH SIGNALS
.TP
.B SIGTERM, SIGINT
.B run
ends after \fIshutdown.keepFor\fR, or at once at the second one; the published tokens stay unless \fIonExit\fR says otherwise.
.TP
.B SIGUSR1
.B run
refreshes all tokens now.
.TP
.B SIGHUP
.B run
looks at the configuration, the log policy and the other files that it follows now.
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
Something else, or a probe that says no.
.TP
.B 64
The command line is wrong, the value of a flag or of its variable included.
.TP
.B 69
The issuer is unavailable, or time is up.
.TP
.B 73
A token cannot be written.
.TP
.B 77
The issuer refused.
.TP
.B 78
The configuration, the log policy, or what they point to is wrong.
.PP
Of several failures
.B once
and
.B check
return the first of 78, 77, 73, 69, 1.
`
)

// TestManPage compares the page with the commands as they are.
func TestManPage(t *testing.T) {
	got := renderManPage()
	if *update {
		if err := os.WriteFile(manPage, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(manPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the commands are now: go test ./daemon/command -run TestManPage -update", manPage)
	}
}

// TestHelpIsWholeAndRun demands of each command a text and an example, of each flag a text, and of each example that a
// script runs it.
func TestHelpIsWholeAndRun(t *testing.T) {
	run := scriptLines(t)
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		leaf := !c.HasSubCommands()
		if c.Short == "" || leaf && c.Long == "" && c.Name() != "version" && c.Parent().Name() != "schema" {
			t.Errorf("%s has no help", c.CommandPath())
		}
		for example := range strings.Lines(c.Example) {
			example = strings.TrimSpace(example)
			if !strings.Contains(run, "\n"+example+"\n") {
				t.Errorf("%s shows an example that no script runs: %s", c.CommandPath(), example)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if name, text := pflag.UnquoteUsage(f); text == "" || name == "string" || name == "int" || name == "float" {
				t.Errorf("%s --%s: %q says too little of a %s", c.CommandPath(), f.Name, text, name)
			}
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit((&app{stdout: io.Discard, stderr: io.Discard}).root())
}

func scriptLines(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("../../testdata/script/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal(err, names)
	}
	verb := regexp.MustCompile(`(?m)^(! )?(exec|until|exits [0-9]+( -nobody)?) (sh -c '(?:exec )?(renewd [^']*?)(?: > [a-z]+)?'(?: &[a-z]+&)?$)?`)
	background := regexp.MustCompile(`(?m) &[a-z]+&$`)
	var all strings.Builder
	all.WriteString("\n")
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(background.ReplaceAllString(verb.ReplaceAllString(string(data), "$5"), "") + "\n")
	}
	return all.String()
}

// renderManPage writes the page from the commands (man(7)).
func renderManPage() []byte {
	root := (&app{stdout: io.Discard, stderr: io.Discard}).root()
	root.InitDefaultHelpFlag()
	var out bytes.Buffer
	out.WriteString(manHead)
	out.WriteString(".SH SYNOPSIS\n")
	for _, c := range leaves(root) {
		_, arguments, _ := strings.Cut(c.UseLine(), c.CommandPath())
		fmt.Fprintf(&out, "\\fB%s\\fR %s\n.br\n", roff(c.CommandPath()), roff(strings.TrimSpace(arguments)))
	}
	fmt.Fprint(&out, "\\fBrenewd completion\\fR bash|zsh|fish|powershell\n")
	fmt.Fprintf(&out, ".SH DESCRIPTION\n%s", prose(root.Long))
	out.WriteString(".SH COMMANDS\n")
	for _, g := range root.Groups() {
		for _, c := range leaves(root) {
			top := c
			for top.Parent() != root {
				top = top.Parent()
			}
			if top.GroupID == g.ID {
				manCommand(&out, c)
			}
		}
	}
	out.WriteString(".SS completion bash|zsh|fish|powershell\nPrint a script that completes commands, flags, tokens of the configuration and areas of the log in that shell.\n" +
		".PP\n.nf\n\\&. <(renewd completion bash)\n.fi\n")
	out.WriteString(".SH ONE TOKEN BY FLAGS\nThese flags stand for a configuration with one token; beside a configuration they are refused.\n")
	for _, k := range allFlags() {
		run, _, _ := root.Find([]string{"run"})
		manFlag(&out, run.Flags().Lookup(k.flag))
	}
	out.WriteString(manTail)
	fmt.Fprintf(&out, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(strings.TrimSpace(strings.ReplaceAll(root.Example, "\n  ", "\n"))))
	return out.Bytes()
}

// leaves returns the commands that do something, in the order of their names.
func leaves(c *cobra.Command) (list []*cobra.Command) {
	if !c.HasSubCommands() {
		return []*cobra.Command{c}
	}
	for _, sub := range c.Commands() {
		list = append(list, leaves(sub)...)
	}
	return list
}

func manCommand(out io.Writer, c *cobra.Command) {
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(out, ".SS %s\n%s", roff(strings.TrimPrefix(strings.TrimSuffix(c.UseLine(), " [flags]"), "renewd ")), prose(text))
	flags, single := groupFlags(c)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !f.Hidden {
			manFlag(out, f)
		}
	})
	if single.HasAvailableFlags() {
		fmt.Fprint(out, ".PP\nOne token can be given by flags instead of a configuration, see below.\n")
	}
	if c.Example != "" {
		fmt.Fprintf(out, ".PP\n.nf\n%s\n.fi\n", roff(strings.TrimSpace(strings.ReplaceAll(c.Example, "\n  ", "\n"))))
	}
}

func manFlag(out io.Writer, f *pflag.Flag) {
	name, text := pflag.UnquoteUsage(f)
	if name != "" {
		name = " \\fI" + roff(name) + "\\fR"
	}
	short := ""
	if f.Shorthand != "" {
		short = "\\-" + f.Shorthand + ", "
	}
	switch f.DefValue {
	case "", "false", "0", "0s":
	default:
		text += " (default " + f.DefValue + ")"
	}
	fmt.Fprintf(out, ".TP\n\\fB%s\\-\\-%s\\fR%s\n%s\n", short, roff(f.Name), name, roff(strings.ToUpper(text[:1])+text[1:]+"."))
}

// prose turns the text of a help into paragraphs; what stands between backquotes is bold.
func prose(text string) string {
	bold := regexp.MustCompile("`([^`]*)`")
	var out strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			out.WriteString(".PP\n")
		}
		out.WriteString(bold.ReplaceAllString(roff(paragraph), `\fB$1\fR`) + "\n")
	}
	return out.String()
}

// roff escapes what man(7) would obey.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
