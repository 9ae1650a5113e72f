package images

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Site is what the network of this host wants of a build: whom to trust, and where to fetch
// from. None of it changes what is built, so it is no part of an image's digest.
type Site struct {
	// CA are certificates, as PEM.
	CA []byte
	// Args are arguments of the build.
	Args map[string]string
	// Notes are what a person should know of it.
	Notes []string
}

// proxies are the arguments that every build takes.
func (s Site) proxies() map[string]string {
	args := map[string]string{}
	for name, value := range s.Args {
		if strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			args[name] = value
		}
	}
	return args
}

// authorityVariables name files of certificates that programs of this host trust.
var authorityVariables = []string{
	"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT",
	"NIX_SSL_CERT_FILE", "npm_config_cafile", "AV_UPSTREAM_CA",
}

// bundles are where systems keep the authorities that they trust.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
}

// maxAuthorities is how much of each file of certificates is read, in bytes.
const maxAuthorities = 4 << 20

// FindSite looks at the usual variables and files. What cannot be read is left out: whether
// it was needed, the build will tell.
func FindSite(getenv func(string) string) Site {
	home := getenv("HOME")
	npmrc := readNPM(getenv, home)
	s := Site{Args: map[string]string{}}
	var files []string
	for _, name := range authorityVariables {
		files = append(files, getenv(name))
	}
	files = append(append(files, npmrc["cafile"]), bundles...)
	s.CA = authorities(files, readSome)
	for _, source := range []struct{ arg, value string }{
		{"npm_config_registry", firstOf(getenv("npm_config_registry"), getenv("NPM_CONFIG_REGISTRY"), npmrc["registry"])},
		{"PIP_INDEX_URL", getenv("PIP_INDEX_URL")},
	} {
		u, err := url.Parse(source.value)
		switch {
		case source.value == "" || err != nil:
		case u.User != nil:
			// It would stand in the image's history.
			s.Notes = append(s.Notes, source.arg+" holds a password and is not handed to the build; name one without in --build-arg")
		default:
			s.Args[source.arg] = source.value
		}
	}
	for name, value := range dockerProxies(getenv, home) {
		s.Args[name] = value
	}
	return s
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// authorities are the certificates of the files, each once. Nothing else of a file goes into
// a build: one that is named here may hold a key, too.
func authorities(files []string, read func(string) []byte) []byte {
	var out bytes.Buffer
	seen := map[string]bool{}
	for _, name := range files {
		if name == "" {
			continue
		}
		rest := read(name)
		for {
			var b *pem.Block
			if b, rest = pem.Decode(rest); b == nil {
				break
			}
			if b.Type == "CERTIFICATE" && !seen[string(b.Bytes)] {
				seen[string(b.Bytes)] = true
				_ = pem.Encode(&out, &pem.Block{Type: b.Type, Bytes: b.Bytes}) // into memory
			}
		}
	}
	return out.Bytes()
}

// readSome reads a file that is a file, as far as it is read.
func readSome(name string) []byte {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxAuthorities {
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return text
}

// readNPM gives npm's settings that matter here, the user's before the machine's.
func readNPM(getenv func(string) string, home string) map[string]string {
	found := map[string]string{}
	for _, name := range []string{getenv("NPM_CONFIG_USERCONFIG"), filepath.Join(home, ".npmrc"), "/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc"} {
		if !filepath.IsAbs(name) {
			continue
		}
		for line := range strings.Lines(string(readSome(name))) {
			key, value, _ := strings.Cut(line, "=")
			key, value = strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"'`)
			// Not its tokens, which stand there too.
			if (key == "registry" || key == "cafile") && found[key] == "" {
				found[key] = value
			}
		}
	}
	return found
}

// dockerProxies are those that the user's own `docker build` hands to a build. An engine
// keeps them out of the image and of its history.
func dockerProxies(getenv func(string) string, home string) map[string]string {
	dir := firstOf(getenv("DOCKER_CONFIG"), filepath.Join(home, ".docker"))
	var config struct{ Proxies map[string]map[string]string }
	_ = json.Unmarshal(readSome(filepath.Join(dir, "config.json")), &config) // none, or none that we can read
	args := map[string]string{}
	for key, name := range map[string]string{"httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY", "ftpProxy": "FTP_PROXY", "allProxy": "ALL_PROXY", "noProxy": "NO_PROXY"} {
		if value := config.Proxies["default"][key]; value != "" {
			args[name], args[strings.ToLower(name)] = value, value
		}
	}
	return args
}
