package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ridehail/ridehail/internal/slowtest"
)

func TestAllPhonesOfASmallStormComeBack(t *testing.T) {
	slowtest.Require(t)
	plot := filepath.Join(t.TempDir(), "storm.svg")
	var out, logs bytes.Buffer
	if code := run(t.Context(), nil, []string{"lab", "storm", "--phones", "100", "--cuts", "2", "--json", "--check", "--plot", plot}, &out, &logs); code != exitDone {
		t.Fatalf("exit code %d: %s%s", code, &out, &logs)
	}

	var found struct {
		Command string
		Figures struct {
			Cuts []struct {
				Jitter bool
				Back   int
				Away   []int `json:"phones_away"`
				Tries  []int
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil || len(found.Figures.Cuts) != 4 || !strings.Contains(found.Command, "--phones 100") {
		t.Fatalf("%v: %s", err, &out)
	}
	for i, c := range found.Figures.Cuts {
		if c.Jitter != (i%2 == 0) || c.Back != 100 || len(c.Away) != len(c.Tries) || c.Away[len(c.Away)-1] != 0 {
			t.Errorf("cut %d: %+v", i, c)
		}
	}
	if info, err := os.Stat(plot); err != nil || info.Size() < 1000 {
		t.Errorf("the picture: %v", err)
	}
}
