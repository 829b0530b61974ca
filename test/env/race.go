//go:build race

package env

const raceDetector = true
