package policy

import (
	"errors"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxNesting is far above what a services file has. The parser takes the square of the
// depth, and 200 KB of brackets would keep it busy for a minute.
const maxNesting = 500

// nested tells whether src could be nested deeper than maxNesting. It knows nothing of
// quotes and comments, and need not: it counts more than there is.
func nested(src []byte) bool {
	depth, dashes := 0, 0
	for i, c := range src {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case '\n':
			dashes = 0
		case '-':
			if i+1 < len(src) && (src[i+1] == ' ' || src[i+1] == '\t') {
				dashes++
			}
		}
		if depth > maxNesting || dashes > maxNesting {
			return true
		}
	}
	return false
}

// parseYAML turns a panic of the parser into an error: what is written in a file must not
// end the program.
func parseYAML(src []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the parser gave up")
		}
	}()
	return parser.ParseBytes(src, 0)
}
