package trust

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeImage holds paths and what they are: text is a file, what begins with "->" a link, "/" a folder, "|" a pipe.
// Folders above them are there.
type fakeImage struct {
	entries map[string]string
	asked   int
}

func (f *fakeImage) Look(_ context.Context, name string) (Entry, error) {
	f.asked++
	what, ok := f.entries[name]
	switch {
	case !ok:
		for other := range f.entries {
			if strings.HasPrefix(other, name+"/") {
				return Entry{Kind: Dir}, nil
			}
		}
		return Entry{}, nil
	case strings.HasPrefix(what, "->"):
		return Entry{Kind: Link, Link: what[2:]}, nil
	case what == "/":
		return Entry{Kind: Dir}, nil
	case what == "|":
		return Entry{Kind: Other}, nil
	}
	return Entry{Kind: Regular}, nil
}

func (f *fakeImage) Read(_ context.Context, name string) ([]byte, error) {
	return []byte(f.entries[name]), nil
}

func (f *fakeImage) List(_ context.Context, dir string) (names []string, err error) {
	for name := range f.entries {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// authority makes a certificate; each is another.
func authority(t testing.TB, name string) (*x509.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// files is Files for a fake image, as a map.
func files(t *testing.T, entries map[string]string, env []string, ca string) map[string]string {
	t.Helper()
	list, err := Files(t.Context(), &fakeImage{entries: entries}, env, []byte(ca))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range list {
		if _, twice := out[f.Path]; twice {
			t.Errorf("%s is written twice", f.Path)
		}
		out[f.Path] = string(f.Content)
	}
	return out
}

func TestEveryLayoutKeepsItsRootsAndTrustsOneMore(t *testing.T) {
	cert, ca := authority(t, "av test CA")
	_, root := authority(t, "a root")
	hash := SubjectHash(cert.RawSubject)
	for _, c := range []struct {
		name  string
		image map[string]string
		env   []string
		want  []string // the bundles that are written; the first decides what Bundle holds
		roots string
	}{
		{"Debian", map[string]string{"/etc/ssl/certs/ca-certificates.crt": root, "/usr/lib/ssl/certs": "->/etc/ssl/certs"}, nil,
			[]string{"/etc/ssl/certs/ca-certificates.crt"}, root},
		{"Alpine", map[string]string{"/etc/ssl/certs/ca-certificates.crt": root, "/etc/ssl/cert.pem": "->certs/ca-certificates.crt", "/etc/ssl1.1/cert.pem": "->/etc/ssl/cert.pem"}, nil,
			[]string{"/etc/ssl/certs/ca-certificates.crt"}, root},
		{"Fedora", map[string]string{
			"/etc/ssl/certs": "->../pki/tls/certs", "/etc/pki/tls/certs/ca-bundle.crt": "->/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
			"/etc/pki/tls/cert.pem": "->certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": root}, nil,
			[]string{"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"}, root},
		{"SUSE", map[string]string{"/etc/ssl/ca-bundle.pem": "->/var/lib/ca-certificates/ca-bundle.pem", "/var/lib/ca-certificates/ca-bundle.pem": root}, nil,
			[]string{"/var/lib/ca-certificates/ca-bundle.pem"}, root},
		{"Arch", map[string]string{"/etc/ssl/certs/ca-certificates.crt": "->../../ca-certificates/extracted/tls-ca-bundle.pem", "/etc/ca-certificates/extracted/tls-ca-bundle.pem": root}, nil,
			[]string{"/etc/ca-certificates/extracted/tls-ca-bundle.pem"}, root},
		{"Nix", map[string]string{"/nix/store/x-cacert/ca-bundle.crt": root}, []string{"SSL_CERT_FILE=/nix/store/x-cacert/ca-bundle.crt"},
			[]string{"/nix/store/x-cacert/ca-bundle.crt"}, root},
		{"a variable that names something else", map[string]string{"/etc/shadow": "root:hash", "/etc/ssl/cert.pem": root}, []string{"SSL_CERT_FILE=/etc/shadow"},
			[]string{"/etc/ssl/cert.pem"}, root},
		{"two bundles", map[string]string{"/etc/ssl/certs/ca-certificates.crt": root, "/usr/local/ssl/cert.pem": root + "more\n"}, nil,
			[]string{"/etc/ssl/certs/ca-certificates.crt", "/usr/local/ssl/cert.pem"}, root},
		{"an empty bundle beside a full one", map[string]string{"/etc/ssl/certs/ca-certificates.crt": "", "/etc/ssl/cert.pem": root}, nil,
			[]string{"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"}, root},
		{"a folder with one file for each", map[string]string{
			"/etc/ssl/certs/0a.0": "->root.pem", "/etc/ssl/certs/root.pem": "->/usr/share/ca/root.crt", "/usr/share/ca/root.crt": root, "/etc/ssl/certs/README": "text", "/etc/ssl/certs/gone.pem": "->nothing"}, nil,
			usual, root},
		{"nothing", nil, nil, usual, ""},
		{"links in a circle", map[string]string{"/etc/ssl/certs": "->/etc/ssl/certs", "/etc/pki": "->/etc/pki/tls"}, nil, []string{"/etc/ssl/cert.pem"}, ""},
		{"files where folders should be", map[string]string{"/etc/ssl": "a file", "/etc/pki": "|", "/usr/local/share": "|"}, nil, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := files(t, c.image, c.env, ca)
			if want := c.roots + ca; got[Bundle] != want {
				t.Errorf("the bundle is\n%swant\n%s", got[Bundle], want)
			}
			delete(got, Bundle)
			var written []string
			for name, content := range got {
				if strings.HasSuffix(name, "/av.json") || strings.HasSuffix(name, "/av.crt") || strings.Contains(name, hash) {
					continue
				}
				written = append(written, name)
				if !strings.HasSuffix(content, ca) || !strings.HasPrefix(content, c.image[name]) {
					t.Errorf("%s does not hold what it had and the authority:\n%s", name, content)
				}
			}
			slices.Sort(written)
			want := slices.Sorted(slices.Values(c.want))
			if !slices.Equal(written, want) {
				t.Errorf("written: %v, want %v", written, want)
			}
		})
	}
}

func TestHashedNameIsTheFirstThatIsFree(t *testing.T) {
	cert, ca := authority(t, "av test CA")
	hash := SubjectHash(cert.RawSubject)
	for taken, want := range map[int]string{0: hash + ".0", 2: hash + ".2", maxSameHash - 1: fmt.Sprintf("%s.%d", hash, maxSameHash-1), maxSameHash: ""} {
		image := map[string]string{"/etc/pki/tls/certs": "/"}
		for n := range taken {
			image[fmt.Sprintf("/etc/ssl/certs/%s.%d", hash, n)] = "->somewhere"
			image[fmt.Sprintf("/etc/pki/tls/certs/%s.%d", hash, n)] = "another"
		}
		// A link to nowhere is free: who follows it comes to what is put there.
		image["/etc/ssl/certs/somewhere"] = "another"
		got := files(t, image, nil, ca)
		for _, dir := range []string{"/etc/ssl/certs/", "/etc/pki/tls/certs/"} {
			var written string
			for name := range got {
				if strings.HasPrefix(name, dir+hash) {
					written = strings.TrimPrefix(name, dir)
				}
			}
			if written != want {
				t.Errorf("%d taken: %q in %s, want %q", taken, written, dir, want)
			}
		}
	}
}

// The subjects and their hashes are those of OpenSSL 3.0.
func TestSubjectHashIsOpenSSLs(t *testing.T) {
	for subject, want := range map[string]string{
		"301f311d301b06035504030c146176203031323361626364206c6f63616c204341":                                                                                                         "6df1f4b0",
		"3044310b3009060355040613024445311c301a060355040a0c134772c3b6c39f65202020756e6420204d4153533117301506035504030c0e204c656164696e6720426c616e6b":                               "ffdc4d51",
		"305331173015060a0992268993f22c64011916076578616d706c6531133011060a0992268993f22c6401191603636f6d31173015060355040a0c0ec39c6ec3af636f646520c384c396310a300806035504030c0141": "0f5bba7b",
		"302d311f300a060355040a0c0374776f3011060355040b0c0a696e206f6e6520736574310a300806035504030c0178":                                                                             "eedcb3ae",
		"3039311f301d06035504031e160042006d0070002000c400d60020004e0061006d006531163014060355040a130d5072696e7461626c65204f7267":                                                     "180b4162",
		"302e311430120603550403140b426d7020c4d6204e616d6531163014060355040a140d5072696e7461626c65204f7267":                                                                           "180b4162",
	} {
		der, err := hex.DecodeString(subject)
		if err != nil {
			t.Fatal(err)
		}
		if got := SubjectHash(der); got != want {
			t.Errorf("%s: %s, want %s", subject, got, want)
		}
	}
}

// What a distribution's own tool adds is put there only where it would look.
func TestAnchorsAreLeftWhereTheDistributionsToolTakesThem(t *testing.T) {
	_, ca := authority(t, "av test CA")
	for where, file := range map[string]string{
		"/usr/local/share":                          "/usr/local/share/ca-certificates/av.crt",
		"/etc/pki/ca-trust/source/anchors":          "/etc/pki/ca-trust/source/anchors/av.pem",
		"/etc/pki/trust/anchors":                    "/etc/pki/trust/anchors/av.pem",
		"/etc/ca-certificates/trust-source/anchors": "/etc/ca-certificates/trust-source/anchors/av.crt",
	} {
		if got := files(t, map[string]string{where: "/"}, nil, ca)[file]; got != ca {
			t.Errorf("%s: %q", file, got)
		}
		if got, there := files(t, nil, nil, ca)[file]; there {
			t.Errorf("%s without %s: %q", file, where, got)
		}
	}
}

func TestChromiumsPolicyNamesTheAuthority(t *testing.T) {
	cert, ca := authority(t, "av test CA")
	var policy struct{ CACertificates []string }
	if err := json.Unmarshal([]byte(files(t, nil, nil, ca)["/etc/chromium/policies/managed/av.json"]), &policy); err != nil {
		t.Fatal(err)
	}
	if want := base64.StdEncoding.EncodeToString(cert.Raw); len(policy.CACertificates) != 1 || policy.CACertificates[0] != want {
		t.Errorf("it is %q", policy)
	}
}

func TestAuthorityThatIsNoneIsRefused(t *testing.T) {
	for _, ca := range []string{"", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if list, err := Files(t.Context(), &fakeImage{}, nil, []byte(ca)); err == nil {
			t.Errorf("%q gives %d files", ca, len(list))
		}
	}
}

// An engine takes its time for each question.
func TestImageIsAskedForEachNameOnce(t *testing.T) {
	_, ca := authority(t, "av test CA")
	image := &fakeImage{entries: map[string]string{"/etc/ssl/certs/ca-certificates.crt": ca}}
	v := newView(image)
	for range 2 {
		if _, _, err := v.resolve(t.Context(), "/etc/ssl/certs/ca-certificates.crt"); err != nil {
			t.Fatal(err)
		}
	}
	if image.asked != 4 {
		t.Errorf("it was asked %d times", image.asked)
	}
}

func TestLinksAreFollowedAsTheKernelDoes(t *testing.T) {
	v := newView(&fakeImage{entries: map[string]string{
		"/a/b/file": "text", "/up": "->a/b/../b/file", "/out": "->../../../a", "/dangling": "->/a/new/file", "/through": "->/a/b/file/more", "/pipe": "|",
	}})
	for name, want := range map[string]struct {
		real string
		kind Kind
	}{
		"/up": {"/a/b/file", Regular}, "/out/b/file": {"/a/b/file", Regular}, "/dangling": {"/a/new/file", None}, "/through": {"", None},
		"/pipe": {"/pipe", Other}, "/pipe/x": {"", None}, "/none/../a": {"", None}, "/": {"/", Dir}, "//a/./b": {"/a/b", Dir},
	} {
		real, entry, err := v.resolve(t.Context(), name)
		if real != want.real || entry.Kind != want.kind || (err != nil) != (want.real == "") {
			t.Errorf("%s: %q, %d, %v", name, real, entry.Kind, err)
		}
	}
}

func TestEnvironmentNamesTheBundleInEachVariableOnce(t *testing.T) {
	env := Env("/b")
	slices.Sort(env)
	if len(slices.Compact(slices.Clone(env))) != len(env) || slices.ContainsFunc(env, func(kv string) bool { return !strings.HasSuffix(kv, "=/b") }) {
		t.Errorf("%v", env)
	}
	if !bytes.Contains([]byte(strings.Join(env, "\n")), []byte("NODE_EXTRA_CA_CERTS=")) {
		t.Error("Node is missing")
	}
}
