package nofollow

import "golang.org/x/sys/unix"

// passOnly opens a folder to pass through: it need not be readable.
const passOnly = unix.O_PATH
