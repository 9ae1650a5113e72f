package policy

import "fmt"

// problem is an error with the next step for the person who reads it.
type problem struct{ text, hint string }

func (p *problem) Error() string { return p.text }
func (p *problem) Hint() string  { return p.hint }

// Error is what is wrong with a services file, and where.
type Error struct {
	File         string // empty: there is no file, and no place in it
	Line, Column int    // from 1
	Message      string
	hint         string
}

func (e *Error) Error() string {
	if e.File == "" {
		return e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Hint is the next step for the person who wrote the file.
func (e *Error) Hint() string { return e.hint }
