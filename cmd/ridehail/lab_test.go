package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestLabPrintsOneObjectAndDrawsAPicture(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "detectors.svg")
	var out, logs bytes.Buffer
	if code := run(t.Context(), nil, []string{"lab", "detectors", "--hours", "8", "--json", "--plot", plot}, &out, &logs); code != exitDone {
		t.Fatalf("exit code %d: %s", code, &logs)
	}

	var found struct {
		Says    string
		Figures struct {
			Hours int `json:"driver_hours_per_link"`
		}
	}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil || found.Says == "" || found.Figures.Hours != 8 {
		t.Errorf("%v in %s", err, &out)
	}
	if picture, err := os.ReadFile(plot); err != nil || !bytes.HasPrefix(picture, []byte("<svg")) {
		t.Errorf("picture: %v", err)
	}
	if code := run(t.Context(), nil, []string{"lab", "detectors", "--hours", "0"}, &out, &logs); code != exitUsage {
		t.Errorf("no hours: exit code %d", code)
	}
}
