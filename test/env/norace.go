//go:build !race

package env

const raceDetector = false
