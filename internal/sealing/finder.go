package sealing

import (
	"cmp"
	"slices"
)

// finder finds many words in one walk through a text, however they overlap (Aho and Corasick's way). Its states are
// the beginnings of words; the first is the empty one.
type finder struct {
	next    map[step]int
	fail    []int // by state: the longest end of what it has read that begins a word too
	longest []int // by state: the length in bytes of the longest word that ends with it, or 0
}

// step is a byte that is read in a state.
type step struct {
	state int
	read  byte
}

func newFinder(words []string) *finder {
	f := &finder{next: map[step]int{}, fail: []int{0}, longest: []int{0}}
	type made struct {
		by    step
		depth int
	}
	var steps []made
	for _, word := range words {
		state := 0
		for i := range len(word) {
			by := step{state, word[i]}
			if f.next[by] == 0 {
				f.next[by] = len(f.fail)
				f.fail, f.longest = append(f.fail, 0), append(f.longest, 0)
				steps = append(steps, made{by, i})
			}
			state = f.next[by]
		}
		f.longest[state] = len(word)
	}
	slices.SortFunc(steps, func(a, b made) int { return cmp.Compare(a.depth, b.depth) })
	for _, s := range steps { // the shorter first: each needs those of its end
		state := f.next[s.by]
		if s.depth > 0 {
			f.fail[state] = f.after(f.fail[s.by.state], s.by.read)
		}
		f.longest[state] = max(f.longest[state], f.longest[f.fail[state]])
	}
	return f
}

// after is the state once a byte is read.
func (f *finder) after(state int, read byte) int {
	for {
		if next := f.next[step{state, read}]; next != 0 || state == 0 {
			return next
		}
		state = f.fail[state]
	}
}

// find gives for each byte of a text the length of a word that begins there. Of words that end at one place
// the longest counts: it covers the others. Nil where there is none.
func (f *finder) find(text string) (lengths []int) {
	state := 0
	for i := range len(text) {
		state = f.after(state, text[i])
		if length := f.longest[state]; length > 0 {
			if lengths == nil {
				lengths = make([]int, len(text))
			}
			lengths[i+1-length] = length // more than was there: it ends later
		}
	}
	return lengths
}
