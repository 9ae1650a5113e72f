package trust

import (
	"path"
	"strings"
)

// bundles are the files in which distributions keep their roots. Where one leads to another it is written once.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Alpine, Gentoo, Arch
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL, Amazon Linux
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // where that leads
	"/etc/pki/tls/cert.pem",                             // their OpenSSL
	"/etc/pki/tls/cacert.pem",                           // OpenELEC
	"/etc/ssl/ca-bundle.pem",                            // SUSE
	"/var/lib/ca-certificates/ca-bundle.pem",            // where that leads
	"/etc/ssl/cert.pem",                                 // Alpine's OpenSSL, and whose prefix is /etc/ssl
	"/etc/ssl/certs/ca-bundle.crt",                      // Nix, and Fedora again
	"/usr/lib/ssl/cert.pem",                             // Debian's OpenSSL
	"/usr/local/ssl/cert.pem",                           // an OpenSSL that was built by hand
	"/usr/local/share/certs/ca-root-nss.crt",
	"/usr/share/ssl/certs/ca-bundle.crt", // old Red Hats
	"/usr/share/ssl/cert.pem",
}

// usual are the bundles that an image without any gets, for programs that were linked elsewhere look there.
var usual = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

// folders are where OpenSSL looks for one file for each authority.
var folders = []string{"/etc/ssl/certs", "/etc/pki/tls/certs", "/usr/local/ssl/certs"}

// anchors are the files that a distribution's own tool adds to its bundles, and the folder that tells that it is there.
var anchors = []struct{ where, file string }{
	{"/usr/local/share", "/usr/local/share/ca-certificates/av.crt"}, // update-ca-certificates, which may come later
	{"/etc/pki/ca-trust/source/anchors", "/etc/pki/ca-trust/source/anchors/av.pem"},
	{"/etc/pki/trust/anchors", "/etc/pki/trust/anchors/av.pem"},
	{"/etc/ca-certificates/trust-source/anchors", "/etc/ca-certificates/trust-source/anchors/av.crt"},
}

// named are the bundles that the image's own environment names: the images that Nix makes have no other.
func named(env []string) []string {
	var files []string
	for _, variable := range []string{"SSL_CERT_FILE", "NIX_SSL_CERT_FILE"} {
		if file := path.Clean(lookup(env, variable)); path.IsAbs(file) && file != Bundle {
			files = append(files, file)
		}
	}
	return files
}

// lookup gives a variable of an environment, the last of its name.
func lookup(env []string, name string) (value string) {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}
