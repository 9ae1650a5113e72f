package main

import "testing"

func TestDetachKeysAreFoundInWhicheverPiecesTheyCome(t *testing.T) {
	for _, c := range []struct {
		keys, typed, on string
		left            bool
	}{
		{"pq", "pq", "", true},
		{"pq", "abpqc", "ab", true},
		{"pq", "papbq", "papbq", false},
		{"pq", "ppq", "p", true}, // as in a shell's history, and then away
		{"pq", "abp", "ab", false},
		{"ppq", "pppq", "p", true},
		{"papb", "papapb", "pa", true},
		{"p", "ap", "a", true},
		{"pq", "", "", false},
	} {
		for first := range len(c.typed) + 1 {
			for second := range len(c.typed) - first + 1 {
				w := keyWatch{keys: []byte(c.keys)}
				var on string
				var left bool
				for _, piece := range []string{c.typed[:first], c.typed[first : first+second], c.typed[first+second:]} {
					if !left {
						var part []byte
						part, left = w.pass([]byte(piece))
						on += string(part)
					}
				}
				if on != c.on || left != c.left {
					t.Errorf("%q in pieces of %d, %d and the rest: %q goes on, %v", c.typed, first, second, on, left)
				}
			}
		}
	}
}
