package runner

import "slices"

// rootCapability is a part of root's power, and why root in a box has it or not.
type rootCapability struct {
	name  string
	given bool
	why   string
}

// rootCapabilities is what --root gives: what package managers need of root over files and
// processes of the box. Nothing of it reaches the network's rules, the kernel's settings or
// a device. docs/isolation.md shows this table.
var rootCapabilities = []rootCapability{
	{"CHOWN", true, "packages hold files of many owners"},
	{"DAC_OVERRIDE", true, "root writes into folders that are not its own"},
	{"FOWNER", true, "root sets modes and times of files that are not its own"},
	{"FSETID", true, "a file keeps its set-group-id bit when it is written to"},
	{"KILL", true, "root ends what it has started as another user; it sees the box's processes alone"},
	{"SETGID", true, "apt fetches as a user of its own; daemons and `su` drop root"},
	{"SETUID", true, "the same; not to be the gate's user, see below"},

	{"AUDIT_WRITE", false, "it would write into the host's audit log"},
	{"DAC_READ_SEARCH", false, "it opens any file of the host's disk by its number (open_by_handle_at)"},
	{"MKNOD", false, "devices; sockets and pipes need no capability"},
	{"NET_ADMIN", false, "it would take the walls down"},
	{"NET_BIND_SERVICE", false, "any port may be listened on in a box anyway"},
	{"NET_RAW", false, "packets made by hand"},
	{"SETFCAP", false, "a capability in a file of the workspace would be one on the host"},
	{"SETPCAP", false, "it hands on capabilities, which nobody in the box needs"},
	{"SYS_ADMIN and all other SYS_…", false, "the kernel, its modules, mounts, other processes' memory, the clock"},
}

// givenToRoot lists the capabilities of --root.
func givenToRoot() []string {
	var given []string
	for _, c := range rootCapabilities {
		if c.given {
			given = append(given, c.name)
		}
	}
	return slices.Clip(given)
}
