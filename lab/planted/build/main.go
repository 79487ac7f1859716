// Command build writes the overlay with all planted bugs of the lessons into a
// folder, for make lab-broken:
//
//	go run ./lab/planted/build FOLDER
//	go build -tags labbroken -overlay FOLDER/overlay.json -o bin/ridehail-broken ./cmd/ridehail
package main

import (
	"fmt"
	"os"

	"github.com/ridehail/ridehail/lab/planted/overlay"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./lab/planted/build FOLDER")
		os.Exit(2)
	}
	if err := writeOverlay(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "lab/planted/build:", err)
		os.Exit(1)
	}
}

// writeOverlay runs in the module's root.
func writeOverlay(dir string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	_, err = overlay.Write(root, dir, overlay.AllChanges())
	return err
}
