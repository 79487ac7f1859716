package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ridehail/ridehail/lab/finding"
)

// labCmd has a command for each experiment, which newLabCmd makes, and a few
// about all of them.
type labCmd struct {
	List  labListCmd  `cmd:"" default:"1" hidden:"" help:"List the questions and the experiments that answer them."`
	All   labAllCmd   `cmd:"" help:"Run every experiment."`
	Break labBreakCmd `cmd:"" help:"Run a planted bug and show the promise that it breaks."`
	kong.Plugins
}

// newLabCmd returns the command with one for each experiment.
func newLabCmd(experiments []finding.Experiment) labCmd {
	var fields []reflect.StructField
	for i, e := range experiments {
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("Experiment%d", i), Type: reflect.TypeFor[labExperimentCmd](),
			Tag: makeTag("cmd", "", "name", e.Name, "help", e.Question)})
	}

	commands := reflect.New(reflect.StructOf(fields))
	for i, e := range experiments {
		commands.Elem().Field(i).Set(reflect.ValueOf(labExperimentCmd{experiment: e, Plugins: kong.Plugins{makeKnobFlags(e)}}))
	}
	return labCmd{List: labListCmd{experiments}, All: labAllCmd{experiments: experiments}, Plugins: kong.Plugins{commands.Interface()}}
}

// makeKnobFlags returns a pointer to a struct with a flag for each knob. A flag
// that is not given is nil. Experiment.Check checks the values.
func makeKnobFlags(e finding.Experiment) any {
	var fields []reflect.StructField
	add := func(name, help, placeholder string) {
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("Flag%d", len(fields)), Type: reflect.TypeFor[*string](),
			Tag: makeTag("name", name, "help", help, "placeholder", placeholder)})
	}

	for _, k := range e.Knobs {
		add(k.Name, k.Help+" "+k.Allowed()+".", k.DefaultText())
	}
	if e.TakesRedis {
		add("redis", "redis://HOST:PORT/DB of a real Redis. Default: an embedded one.", "URL")
	}
	if e.TakesDatabase {
		add("database", "postgres://USER@HOST/NAME of a real Postgres. Default: an embedded database.", "URL")
	}
	return reflect.New(reflect.StructOf(fields)).Interface()
}

// makeTag returns the tag of a struct's field, from keys and values by turns.
func makeTag(pairs ...string) reflect.StructTag {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString(pairs[i] + ":" + strconv.Quote(pairs[i+1]) + " ")
	}
	return reflect.StructTag(strings.TrimSpace(b.String()))
}

// labExperimentCmd runs one experiment. Its Plugins are the flags of the knobs.
type labExperimentCmd struct {
	Guess string `help:"What you expect, before you see it." placeholder:"A|B|C|D"`
	Seed  uint64 `help:"Fixes the workload, the faults and their order." default:"1"`
	Plot  string `help:"Draw the finding into this SVG file." placeholder:"FILE.svg" type:"path"`
	All   bool   `help:"Print the longer table as well, where an experiment has one."`
	JSON  bool   `help:"Print one JSON object."`
	Check bool   `help:"Exit with 1 if a claim does not hold."`
	kong.Plugins

	experiment finding.Experiment
}

func (c labExperimentCmd) Help() string {
	e := c.experiment
	example := "ridehail lab " + e.Name
	if len(e.Knobs) > 0 {
		example += " --" + e.Knobs[0].Name + " " + e.Knobs[0].DefaultText()
	}
	return fmt.Sprintf("Takes about %.0f s. Example: %s --plot %s.svg", e.Takes.Seconds(), example, e.Name)
}

func (c *labExperimentCmd) Run(ctx context.Context, p *process) error {
	e, given := c.experiment, c.givenFlags()
	run := finding.Run{Seed: c.Seed, Redis: given["redis"], Database: given["database"], Log: p.experimentLog()}
	delete(given, "redis")
	delete(given, "database")

	var err error
	if run.Values, err = e.Check(given); err != nil {
		return err
	}
	guess, err := e.ParseGuess(c.Guess)
	if err != nil {
		return err
	}
	if err := checkFolder(c.Plot); err != nil {
		return err
	}
	if c.Guess == "" && !c.JSON && !c.Check && isTerminal(os.Stdin) && isTerminal(p.logs) {
		if guess, err = e.AskGuess(ctx, os.Stdin, p.logs); err != nil {
			return err
		}
	}

	p.showExperiment(e)
	found, err := e.Perform(ctx, &run, guess)
	p.clearLine()
	if err != nil {
		return err
	}
	text := found.Text(wantsColour(p.out))
	if c.All {
		text += found.DetailText()
	}
	if err := p.printResult(c.JSON, found, text); err != nil {
		return err
	}
	if c.Plot != "" {
		if err := writePlot(c.Plot, found.SVG()); err != nil {
			return err
		}
	}
	if failed := found.Failed(); c.Check && len(failed) > 0 {
		return fmt.Errorf("%w: lab %s: does not hold: %s", errCheckFailed, e.Name, joinClaims(failed))
	}
	return nil
}

// showExperiment tells on a terminal what runs, in a line that clearLine takes
// away.
func (p *process) showExperiment(e finding.Experiment) {
	if isTerminal(p.logs) {
		fmt.Fprintf(p.logs, "%s takes about %.0f s …", e.Name, e.Takes.Seconds())
	}
}

func (p *process) clearLine() {
	if isTerminal(p.logs) {
		fmt.Fprint(p.logs, "\r\x1b[K")
	}
}

// givenFlags returns the flags of knobs and servers that were given.
func (c *labExperimentCmd) givenFlags() map[string]string {
	given := map[string]string{}
	flags := reflect.ValueOf(c.Plugins[0]).Elem()
	for i := range flags.NumField() {
		if text := flags.Field(i).Interface().(*string); text != nil {
			given[flags.Type().Field(i).Tag.Get("name")] = *text
		}
	}
	return given
}

// checkFolder says that a picture has no folder, before a run takes its time.
func checkFolder(file string) error {
	if file == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return fmt.Errorf("%w: --plot %s: there is no folder %s", errUsage, file, filepath.Dir(file))
	}
	return nil
}

func wantsColour(out io.Writer) bool {
	return isTerminal(out) && os.Getenv("NO_COLOR") == ""
}

// experimentLog returns a logger for what an experiment runs. Without --log-level
// debug it tells only of warnings, so that the finding can be read.
func (p *process) experimentLog() *slog.Logger {
	level := p.level
	if level == slog.LevelInfo {
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(p.logs, &slog.HandlerOptions{Level: level}))
}

// joinClaims returns the claims with what was wanted, in one line.
func joinClaims(claims []finding.Claim) string {
	texts := make([]string, len(claims))
	for i, c := range claims {
		texts[i] = fmt.Sprintf("%s: %s (%s)", c.Text, c.Got, c.Want)
	}
	return strings.Join(texts, "; ")
}
