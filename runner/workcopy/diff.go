package workcopy

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/av-project/av/runner/nofollow"
)

// maxText is the longest file that is compared line by line, in bytes.
const maxText = 1 << 20

// Diff writes what the agent changed as a unified diff, as patch(1) reads it, and gives how
// many of git's own files changed, which are not shown. It compares with what is in the
// owner's folder now, and says so where that is not what was copied.
func (c *Copy) Diff(ctx context.Context, w io.Writer) (shown, gits int, err error) {
	changes, err := c.Changes(ctx)
	if err != nil {
		return 0, 0, err
	}
	owners, err := c.owners()
	if err != nil {
		return 0, 0, err
	}
	defer owners.Close()
	mine, err := nofollow.Open(c.Tree())
	if err != nil {
		return 0, 0, fmt.Errorf("open the copy: %w", err)
	}
	defer mine.Close()
	for _, ch := range changes {
		if ch.Guarded == GuardedGit {
			gits++
			continue
		}
		now, _, err := ch.against(ctx, owners, mine)
		if err != nil {
			return shown, gits, err
		}
		text, err := one(ch, now, owners, mine)
		if err != nil {
			return shown, gits, err
		}
		if _, err := w.Write(text); err != nil {
			return shown, gits, err
		}
		shown++
	}
	return shown, gits, nil
}

func one(c Change, now Entry, owners, mine *nofollow.Dir) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "diff %s\n", nofollow.Shown(c.Path))
	if c.Guarded != "" {
		fmt.Fprintf(&b, "# protected: %s\n", c.Guarded)
	}
	if !now.same(c.Base) {
		b.WriteString("# changed in your folder too since it was copied\n")
	}
	for _, e := range []struct {
		word string
		Entry
	}{{"old", now}, {"new", c.Mine}} {
		if e.isThere() {
			fmt.Fprintf(&b, "%s %s\n", e.word, e.Entry)
		}
	}
	files := 0
	for _, e := range []Entry{now, c.Mine} {
		if e.Kind == nofollow.File {
			files++
		}
	}
	if files == 0 || files == 2 && now.Size == c.Mine.Size && now.Sum == c.Mine.Sum {
		return b.Bytes(), nil
	}
	before, textBefore, err := text(owners, c.Path, now)
	if err != nil {
		return nil, err
	}
	after, textAfter, err := text(mine, c.Path, c.Mine)
	if err != nil {
		return nil, err
	}
	if !textBefore || !textAfter {
		fmt.Fprintf(&b, "# not shown: it is binary, or larger than %d bytes\n", maxText)
		return b.Bytes(), nil
	}
	from, to := nofollow.Shown("a/"+c.Path), nofollow.Shown("b/"+c.Path)
	if now.Kind != nofollow.File {
		from = "/dev/null"
	}
	if c.Mine.Kind != nofollow.File {
		to = "/dev/null"
	}
	d := diff.Diff(from, before, to, after)
	// Its first line names the two as no other diff does.
	if i := bytes.IndexByte(d, '\n'); bytes.HasPrefix(d, []byte("diff ")) && i >= 0 {
		d = d[i+1:]
	}
	b.Write(d)
	return b.Bytes(), nil
}

// String says what an entry is, for a diff's head.
func (e Entry) String() string {
	switch e.Kind {
	case nofollow.File:
		return fmt.Sprintf("mode %04o", e.Perm)
	case nofollow.Folder:
		return fmt.Sprintf("folder, mode %04o", e.Perm)
	case nofollow.Link:
		return "link to " + nofollow.Shown(e.Link)
	}
	return e.Link
}

// text reads a file to be compared line by line, if it is one to be.
func text(root *nofollow.Dir, name string, e Entry) ([]byte, bool, error) {
	if e.Kind != nofollow.File {
		return nil, true, nil
	}
	f, _, err := root.Open(name)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxText+1))
	return content, len(content) <= maxText && bytes.IndexByte(content, 0) < 0, err
}
