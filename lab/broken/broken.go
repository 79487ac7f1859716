// Package broken holds mechanisms that are wrong on purpose: each is the usual
// mistake, small enough to read in a lesson, beside the part of the app that
// does it right. Only the lab's experiments may import it, which house_test.go
// checks. Each file is named after its experiment.
package broken
