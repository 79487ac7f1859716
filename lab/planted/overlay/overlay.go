// Package overlay plants bugs by a build overlay: the compiler reads changed
// copies of some files, and the source stays as it is. It is for builds of
// lessons and for mutation tests. No program that is shipped imports it.
package overlay

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Change is what a bug changes in one file.
type Change struct {
	File string // from the module's root, with slashes
	// Swaps are pairs: a text that occurs exactly once, and its replacement.
	Swaps []string
}

// Apply returns the file's text with the bug planted. It is an error when a
// text does not occur exactly once, since the code has then changed.
func (c Change) Apply(text string) (string, error) {
	for i := 0; i < len(c.Swaps); i += 2 {
		if n := strings.Count(text, c.Swaps[i]); n != 1 {
			return "", fmt.Errorf("%s has %q %d times: plant the bug where it belongs now", c.File, c.Swaps[i], n)
		}
		text = strings.Replace(text, c.Swaps[i], c.Swaps[i+1], 1)
	}
	return text, nil
}

// Write writes changed copies of the files into a folder, and the overlay that
// names them for go build -overlay. It returns the overlay's path. Root is the
// module's, and several changes may be in one file.
func Write(root, dir string, changes []Change) (string, error) {
	texts, order := map[string]string{}, []string{}
	for _, c := range changes {
		text, again := texts[c.File]
		if !again {
			read, err := os.ReadFile(filepath.Join(root, c.File))
			if err != nil {
				return "", err
			}
			text = string(read)
			order = append(order, c.File)
		}

		var err error
		if texts[c.File], err = c.Apply(text); err != nil {
			return "", err
		}
	}

	replace := map[string]string{}
	for i, file := range order {
		copied := filepath.Join(dir, fmt.Sprint("planted", i, filepath.Ext(file)))
		if err := os.WriteFile(copied, []byte(importChosen(texts[file])), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, file)] = copied
	}

	plan, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, plan, 0o600)
}

// Tag is the build tag that planted code needs when it asks whether it is the
// chosen bug. Variable is the environment variable that chooses one.
const (
	Tag      = "labbroken"
	Variable = "RIDEHAIL_PLANTED_BUG"
)

const chosenImport = "import \"github.com/ridehail/ridehail/lab/planted/chosen\"\n\n"

// importChosen adds the import that a file needs if its planted code asks
// whether it is the chosen bug.
func importChosen(text string) string {
	if !strings.Contains(text, "chosen.Is(") {
		return text
	}
	return strings.Replace(text, "import (", chosenImport+"import (", 1)
}
