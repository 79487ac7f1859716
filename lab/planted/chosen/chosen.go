//go:build labbroken

// Package chosen tells planted code whether it is the bug that a lesson shows.
// Only a build with the tag labbroken has it, so no other build can hold
// planted code: it would not compile.
package chosen

import "os"

// Variable is the environment variable with the name of the bug. Child
// processes inherit it.
const Variable = "RIDEHAIL_PLANTED_BUG"

// Is reports whether the bug of that name is the chosen one.
func Is(name string) bool { return os.Getenv(Variable) == name }
