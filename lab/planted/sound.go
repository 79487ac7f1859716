//go:build !labbroken

package planted

// HasBugs says whether this program holds planted bugs.
const HasBugs = false

func chooseBug(string) {}
