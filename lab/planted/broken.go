//go:build labbroken

package planted

import (
	"os"

	"github.com/ridehail/ridehail/lab/planted/chosen"
)

// HasBugs says whether this program holds planted bugs.
const HasBugs = true

// chooseBug chooses the bug that is on from now on, also in child processes;
// none with an empty name.
func chooseBug(name string) { _ = os.Setenv(chosen.Variable, name) }
