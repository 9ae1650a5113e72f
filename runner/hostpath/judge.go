package hostpath

import (
	"fmt"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// hostsOwn are the folders by which a machine is run. What lies in them gives power
// over the host to whoever can write it, or speak to the sockets in it: those of the
// engines, and of ssh and gpg agents in /run/user, among them.
var hostsOwn = []string{
	"/proc", "/sys", "/dev", "/run", "/boot", "/etc", "/bin", "/sbin", "/lib", "/usr/bin", "/usr/sbin", "/usr/lib",
	"/var/run", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet", "/var/lib/rancher",
	"/var/snap/docker", "/var/spool/cron", "/tmp/.X11-unix", "/tmp/.ICE-unix",
}

// secrets are where programs keep keys and passwords in a user's home. A box that has one
// needs no proxy to take a credential away.
var secrets = []string{
	".ssh", ".gnupg", ".password-store", ".local/share/keyrings", ".vault-token",
	".aws", ".azure", ".config/gcloud", ".oci", ".config/doctl", ".boto", ".s3cfg", ".config/rclone",
	".kube", ".docker/config.json", ".config/containers/auth.json", ".docker/run", ".docker/desktop", ".colima", ".lima", ".rd", ".orbstack",
	".netrc", ".git-credentials", ".config/gh", ".config/hub", ".config/glab-cli", ".config/git/credentials",
	".npmrc", ".yarnrc.yml", ".pypirc", ".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials", ".m2/settings.xml",
	".gradle/gradle.properties", ".terraform.d", ".terraformrc", ".pgpass", ".my.cnf",
	".mozilla", ".config/google-chrome", ".config/chromium",
	".claude/.credentials.json", ".codex/auth.json", ".gemini/oauth_creds.json", ".local/share/opencode/auth.json", ".config/github-copilot",
}

// onlyAtHome are those of them that in a project hold no secret.
var onlyAtHome = map[string]bool{".npmrc": true, ".yarnrc.yml": true, ".lima": true, ".rd": true, ".boto": true, ".terraformrc": true}

// agentVariables name the sockets of programs that act in the user's name.
var agentVariables = []string{
	"SSH_AUTH_SOCK", "SSH_AGENT_LAUNCHER", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS", "DOCKER_HOST", "CONTAINER_HOST",
	"WAYLAND_DISPLAY", "VSCODE_IPC_HOOK_CLI", "VSCODE_GIT_IPC_HANDLE", "TMUX", "GNOME_KEYRING_CONTROL",
}

// Host is what there is on this machine to keep out of a box.
type Host struct {
	AVHome  string   // with the vault
	Homes   []string // of whoever runs av and of root, where keys may come to lie
	Others  []string // homes of the other users, where keys may be: root can put any folder into a box
	Sockets []string // of engines and agents
}

// ThisHost looks at the machine.
func ThisHost(avHome string, getenv func(string) string) Host {
	h := Host{AVHome: avHome, Homes: []string{"/root"}}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		h.Homes = append(h.Homes, home)
	}
	// HOME can say anything.
	if u, err := user.Current(); err == nil {
		h.Homes = append(h.Homes, u.HomeDir)
	}
	if users, err := os.ReadFile("/etc/passwd"); err == nil {
		h.Others = homesIn(string(users))
	}
	for _, name := range agentVariables {
		h.addSocket(getenv(name))
	}
	return h
}

// homesIn gives the homes that a passwd file names, but for the root folder, which is no one's.
func homesIn(passwd string) (homes []string) {
	for line := range strings.Lines(passwd) {
		if f := strings.Split(line, ":"); len(f) >= 7 && filepath.IsAbs(f[5]) && filepath.Clean(f[5]) != "/" {
			homes = append(homes, filepath.Clean(f[5]))
		}
	}
	return homes
}

// With adds av's home and the engine's address, as in DOCKER_HOST.
func (h Host) With(avHome, engine string) Host {
	h.AVHome, h.Sockets = avHome, slices.Clone(h.Sockets)
	h.addSocket(engine)
	return h
}

// addSocket takes the path out of a variable's value.
func (h *Host) addSocket(value string) {
	value = strings.TrimPrefix(strings.TrimPrefix(value, "unix://"), "unix:path=")
	if i := strings.IndexAny(value, ",:;"); i > 0 {
		value = value[:i]
	}
	if filepath.IsAbs(value) {
		h.Sockets = append(h.Sockets, filepath.Clean(value))
	}
}

// Judge refuses a real path that would give a box more than the files that it names.
func (h Host) Judge(what, real string) error {
	refuse := func(format string, args ...any) error {
		return &Refused{what + " " + fmt.Sprintf(format, args...), hints[what]}
	}
	if real == "/" {
		return refuse("is the whole file system")
	}
	if Meet(real, h.AVHome) {
		return refuse("%s would put av's own folder %s, with the vault, into the box", real, h.AVHome)
	}
	for _, socket := range h.Sockets {
		if Meet(real, socket) {
			return refuse("%s would put the socket %s into the box, and the power of who listens there", real, socket)
		}
	}
	for _, own := range hostsOwn {
		if Meet(real, own) {
			return refuse("%s would put %s of the host into the box", real, own)
		}
	}
	for _, secret := range secrets {
		if !onlyAtHome[secret] && strings.Contains(real+"/", "/"+secret+"/") {
			return refuse("%s would put keys or passwords into the box: %s", real, secret)
		}
		for _, home := range h.Homes {
			if Meet(real, filepath.Join(home, secret)) {
				return refuse("%s would put %s into the box, where keys and passwords are kept", real, filepath.Join(home, secret))
			}
		}
		for _, home := range h.Others {
			at := filepath.Join(home, secret)
			if _, err := os.Lstat(at); err == nil && Meet(real, at) {
				return refuse("%s would put %s into the box, where another user's keys and passwords are kept", real, at)
			}
		}
	}
	return nil
}

// What Judge is asked about.
const (
	Workspace = "the workspace"
	Mount     = "--mount"
	Share     = "--home=share"
)

var hints = map[string]string{
	Workspace: "run av from your project's own folder; AV_HOME must lie outside of it",
	Mount:     "mount the folder with what the command needs and no more; a key belongs into the vault: av credential set",
	Share:     "share the parts of the agent's state that hold no login; a key belongs into the vault: av credential set",
}

// Meet tells whether one of two paths lies in the other. The first is a real one.
func Meet(real, other string) bool {
	if resolved, err := filepath.EvalSymlinks(other); err == nil && (Within(resolved, real) || Within(real, resolved)) {
		return true
	}
	return Within(other, real) || Within(real, other)
}

// Within tells whether path is dir or lies below it.
func Within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// reserved are places in the box that are av's, the engine's or the kernel's.
var reserved = []string{
	"/proc", "/sys", "/dev", "/run", "/etc/av", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates",
	"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/ld.so.preload", "/etc/ld.so.cache",
	"/sbin/docker-init", "/dev/init", "/.dockerenv", "/workspace",
}

// homeInBox may have mounts below it, and must not be one.
const homeInBox = "/home/agent"

// CheckTarget refuses a place in the box that a mount must not take.
func CheckTarget(target string) error {
	refuse := func(why string) error {
		return &Refused{"--mount: " + why, "mount it to a place of its own, such as /data or /home/agent/data"}
	}
	if !path.IsAbs(target) || path.Clean(target) != target || strings.ContainsAny(target, "\x00\n") {
		return refuse(fmt.Sprintf("%q is not an absolute, plain path in the box", target))
	}
	if target == "/" || Within(homeInBox, target) {
		return refuse(target + " would hide what is the box's own")
	}
	for _, own := range reserved {
		if Within(target, own) || Within(own, target) {
			return refuse(target + " would hide " + own + " of the box")
		}
	}
	return nil
}
