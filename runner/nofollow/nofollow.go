// Package nofollow reaches what lies below a folder and follows no symbolic link on the way.
// Who may write below the folder can so lead nobody out of it, whatever is swapped when.
package nofollow

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// ErrLink says that a part of a path is a link, or something else that is no folder.
var ErrLink = errors.New("a part of the path is a link or no folder")

// Dir is an open folder. What it was opened as may be moved or replaced meanwhile: the
// folder stays the one that was opened.
type Dir struct{ fd int }

// Kind is what stands under a name.
type Kind int

// Other is what is none of the rest: a socket, a device, a pipe.
const (
	Other Kind = iota
	File
	Folder
	Link
	Socket
)

// Info is what the kernel says of a name, and not of what a link leads to.
type Info struct {
	Kind     Kind
	Perm     fs.FileMode
	Size     int64
	Dev, Ino uint64
	UID, GID int
	Modified time.Time
	Changed  time.Time // of the inode, which no program sets back
}

// Same tells whether two are one file.
func (i Info) Same(o Info) bool { return i.Dev == o.Dev && i.Ino == o.Ino }

// Open opens a folder by its path as anybody would.
func Open(path string) (*Dir, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_RDONLY, 0) })
	if err != nil {
		return nil, failed("open", path, err)
	}
	return &Dir{fd}, nil
}

// Walk opens a folder by an absolute path of which no part may be a link. It need not be
// readable.
func Walk(path string) (*Dir, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return nil, fmt.Errorf("%q is not an absolute, plain path", path)
	}
	fd, err := retry(func() (int, error) { return unix.Open("/", unix.O_DIRECTORY|unix.O_CLOEXEC|passOnly, 0) })
	if err != nil {
		return nil, failed("open", "/", err)
	}
	root := &Dir{fd}
	if path == "/" {
		return root, nil
	}
	defer root.Close()
	return root.pass(path[1:])
}

// Close lets go of the folder.
func (d *Dir) Close() error { return unix.Close(d.fd) }

// Dir opens a folder below d, to be listed.
func (d *Dir) Dir(name string) (*Dir, error) {
	if name == "." || name == "" {
		return d.open(".", unix.O_RDONLY)
	}
	parent, base, err := d.parent(name)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return parent.open(base, unix.O_RDONLY)
}

// pass opens a folder below d to pass through.
func (d *Dir) pass(name string) (*Dir, error) {
	at, err := d.open(".", passOnly)
	for part := range strings.SplitSeq(name, "/") {
		if err != nil {
			return nil, err
		}
		if !plain(part) {
			at.Close()
			return nil, failed("open", name, fs.ErrInvalid)
		}
		next, problem := at.open(part, passOnly)
		at.Close()
		at, err = next, problem
	}
	return at, err
}

// plain tells whether a name is one part of a path and leads nowhere else.
func plain(part string) bool { return part != "" && part != "." && part != ".." }

func (d *Dir) open(name string, flags int) (*Dir, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd, name, flags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return nil, failed("open", name, ErrLink)
	case err != nil:
		return nil, failed("open", name, err)
	}
	return &Dir{fd}, nil
}

// parent opens the folder that name lies in, and gives its last part.
func (d *Dir) parent(name string) (*Dir, string, error) {
	at, base := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		at, base = name[:i], name[i+1:]
	}
	if !plain(base) {
		return nil, "", failed("open", name, fs.ErrInvalid)
	}
	if at == "" {
		parent, err := d.open(".", passOnly)
		return parent, base, err
	}
	parent, err := d.pass(at)
	return parent, base, err
}

// Stat is what the kernel says of the folder itself.
func (d *Dir) Stat() (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return Info{}, fmt.Errorf("look at a folder: %w", err)
	}
	return info(&st), nil
}

// Lstat is what the kernel says of a name below d.
func (d *Dir) Lstat(name string) (Info, error) {
	parent, base, err := d.parent(name)
	if err != nil {
		return Info{}, err
	}
	defer parent.Close()
	var st unix.Stat_t
	if err := unix.Fstatat(parent.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Info{}, failed("lstat", name, err)
	}
	return info(&st), nil
}

func info(st *unix.Stat_t) Info {
	i := Info{
		Perm: fs.FileMode(st.Mode & 0o777), Size: st.Size, Dev: uint64(st.Dev), Ino: uint64(st.Ino), UID: int(st.Uid), GID: int(st.Gid),
		Modified: time.Unix(st.Mtim.Unix()), Changed: time.Unix(st.Ctim.Unix()),
	}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
		i.Kind = File
	case unix.S_IFDIR:
		i.Kind = Folder
	case unix.S_IFLNK:
		i.Kind = Link
	case unix.S_IFSOCK:
		i.Kind = Socket
	}
	return i
}

// Open opens a regular file below d to be read, and says what it is. A pipe in its place
// would make its reader wait for ever, and is not opened as one.
func (d *Dir) Open(name string) (*os.File, Info, error) {
	parent, base, err := d.parent(name)
	if err != nil {
		return nil, Info{}, err
	}
	defer parent.Close()
	fd, err := retry(func() (int, error) {
		return unix.Openat(parent.fd, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		if errors.Is(err, unix.ELOOP) {
			err = ErrLink
		}
		return nil, Info{}, failed("open", name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, Info{}, failed("stat", name, err)
	}
	found := info(&st)
	if found.Kind != File {
		unix.Close(fd)
		return nil, found, failed("open", name, errors.New("it is no regular file"))
	}
	return os.NewFile(uintptr(fd), name), found, nil
}

// maxLink is the longest target of a link that is read, in bytes: the kernel's own bound.
const maxLink = 4096

// Readlink is where a link below d leads.
func (d *Dir) Readlink(name string) (string, error) {
	parent, base, err := d.parent(name)
	if err != nil {
		return "", err
	}
	defer parent.Close()
	target := make([]byte, maxLink)
	n, err := unix.Readlinkat(parent.fd, base, target)
	if err != nil {
		return "", failed("readlink", name, err)
	}
	return string(target[:n]), nil
}

// Name is what a folder says of one thing in it.
type Name struct {
	Name string
	Kind Kind
}

// List gives what is in the folder in no order, up to so many; more tells that there are
// others.
func (d *Dir) List(most int) (list []Name, more bool, err error) {
	fd, err := retry(func() (int, error) { return unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, false, fmt.Errorf("list a folder: %w", err)
	}
	// By this name what a file system says nothing of is looked at in this very folder.
	f := os.NewFile(uintptr(fd), fmt.Sprintf("/dev/fd/%d", fd))
	defer f.Close()
	entries, err := f.ReadDir(most + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if len(entries) > most {
		entries, more = entries[:most], true
	}
	for _, e := range entries {
		list = append(list, Name{e.Name(), kindOf(e.Type())})
	}
	return list, more, err
}

func kindOf(m fs.FileMode) Kind {
	switch {
	case m.IsRegular():
		return File
	case m.IsDir():
		return Folder
	case m&fs.ModeSymlink != 0:
		return Link
	case m&fs.ModeSocket != 0:
		return Socket
	}
	return Other
}

// failed is what went wrong with a name. Whoever may write in a folder chooses the names in
// it, and one with a line break would add a line of its own to what is told.
func failed(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: Shown(name), Err: err}
}

// Shown is a name as it stands in a line of text, in quotes where it would not stay in it.
func Shown(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) || r == '"' || r == utf8.RuneError }) {
		return strconv.QuoteToASCII(name)
	}
	return name
}

// retry is for calls that a signal can interrupt.
func retry[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if !errors.Is(err, unix.EINTR) {
			return v, err
		}
	}
}
