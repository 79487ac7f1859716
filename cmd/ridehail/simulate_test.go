package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// smallCity returns the flags for a small city and a few minutes.
var smallCity = []string{"simulate", "--drivers", "20", "--riders-per-hour", "60", "--hours", "0.3"}

func TestSimulatePrintsOneObjectAndDrawsAPicture(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "waits.svg")
	var out, logs bytes.Buffer
	if code := run(t.Context(), nil, append(smallCity, "--json", "--seeds", "2", "--plot", plot), &out, &logs); code != exitDone {
		t.Fatalf("exit code %d: %s", code, &logs)
	}

	var report struct {
		Policies []struct {
			Policy string
			Runs   []struct{ Seed, Wishes, Completed int }
		}
	}

	decoder := json.NewDecoder(&out)
	if err := decoder.Decode(&report); err != nil || decoder.More() {
		t.Fatalf("not one object: %v", err)
	}
	if len(report.Policies) != 2 || report.Policies[0].Policy != "greedy" || report.Policies[1].Policy != "batched" {
		t.Fatalf("%+v", report)
	}

	for _, p := range report.Policies {
		if len(p.Runs) != 2 || p.Runs[0].Seed != 1 || p.Runs[1].Seed != 2 || p.Runs[0].Wishes == 0 {
			t.Errorf("%s: %+v", p.Policy, p.Runs)
		}
	}

	if picture, err := os.ReadFile(plot); err != nil || !bytes.HasPrefix(picture, []byte("<svg")) {
		t.Errorf("picture: %v", err)
	}
	if n := strings.Count(logs.String(), "times real time"); n != 4 {
		t.Errorf("told of %d runs, want 4: %s", n, &logs)
	}
}

func TestSimulateSaysWhatIsWrongWithItsFlags(t *testing.T) {
	for _, wrong := range [][]string{{"--policy", "clever"}, {"--riders-per-hour", "NaN"}, {"--seeds", "0"}, {"--city", "nowhere.city"}} {
		var out, logs bytes.Buffer
		if code := run(t.Context(), nil, append(append([]string{}, smallCity...), wrong...), &out, &logs); code != exitUsage || out.Len() > 0 {
			t.Errorf("%v: exit code %d, %s%s", wrong, code, &out, &logs)
		}
	}
}
