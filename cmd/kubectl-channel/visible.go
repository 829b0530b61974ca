package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// visible is a text as it may be shown on a terminal, on one line. What comes from a
// platform may hold what moves the cursor, or turns the direction of writing: then it is
// quoted, as Go does it.
func visible(text string) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	if strings.ContainsFunc(text, hidden) {
		return strconv.Quote(text)
	}
	return text
}

// visibleLines is the same of a text with lines.
func visibleLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = visible(lines[i])
	}
	return strings.Join(lines, "\n")
}

// visibleJSON escapes the same in JSON that was written already, whose own line breaks stay.
func visibleJSON(text string) string {
	var escaped strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			escaped.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			_, _ = fmt.Fprintf(&escaped, `\u%04x\u%04x`, high, low)
		default:
			_, _ = fmt.Fprintf(&escaped, `\u%04x`, r)
		}
	}
	return escaped.String()
}
