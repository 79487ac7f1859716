//go:build race

package check_test

// raceDetected says whether this test was built with the race detector.
const raceDetected = true
