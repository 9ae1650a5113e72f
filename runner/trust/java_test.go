package trust

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// emptyPKCS12 is a store without parts, and with something where its checksum would be.
func emptyPKCS12(t testing.TB, version int64) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(version)
		addData(b, func(b *cryptobyte.Builder) { b.AddASN1(tag.SEQUENCE, func(*cryptobyte.Builder) {}) })
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(7) })
	})
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// That Java reads them is seen in the box, with keytool and a program.
func TestStoreOfEveryJavaGetsTheAuthority(t *testing.T) {
	cert, ca := authority(t, "av test CA")
	_, root := authority(t, "a root")
	for _, c := range []struct {
		name  string
		image map[string]string
		env   []string
		want  string
	}{
		{"Debian's store", map[string]string{"/etc/ssl/certs/java/cacerts": string(newJKS())}, nil, "/etc/ssl/certs/java/cacerts"},
		{"Fedora's store", map[string]string{"/etc/pki/java/cacerts": "->/etc/pki/ca-trust/extracted/java/cacerts", "/etc/pki/ca-trust/extracted/java/cacerts": string(emptyPKCS12(t, 3))}, nil, "/etc/pki/ca-trust/extracted/java/cacerts"},
		{"JAVA_HOME", map[string]string{"/opt/jdk/lib/security/cacerts": string(emptyPKCS12(t, 3))}, []string{"JAVA_HOME=/opt/jdk/"}, "/opt/jdk/lib/security/cacerts"},
		{"Java 8", map[string]string{"/opt/jdk/jre/lib/security/cacerts": string(newJKS())}, []string{"JAVA_HOME=/opt/jdk"}, "/opt/jdk/jre/lib/security/cacerts"},
		{"a java on PATH", map[string]string{"/usr/bin/java": "->/etc/alternatives/java", "/etc/alternatives/java": "->/usr/lib/jvm/j/bin/java", "/usr/lib/jvm/j/bin/java": "elf", "/usr/lib/jvm/j/lib/security/cacerts": string(newJKS())}, nil, "/usr/lib/jvm/j/lib/security/cacerts"},
		{"the image's own PATH", map[string]string{"/j/bin/java": "elf", "/j/lib/security/cacerts": string(newJKS())}, []string{"PATH=relative:/j/bin"}, "/j/lib/security/cacerts"},
		{"the store that Java prefers", map[string]string{"/opt/jdk/lib/security/jssecacerts": string(newJKS())}, []string{"JAVA_HOME=/opt/jdk"}, "/opt/jdk/lib/security/jssecacerts"},
		{"a Java whose store is missing", map[string]string{"/opt/jdk/lib/security/cacerts": "->/etc/ssl/certs/java/cacerts", "/etc/ssl/certs/ca-certificates.crt": root}, []string{"JAVA_HOME=/opt/jdk"}, "/etc/ssl/certs/java/cacerts"},
	} {
		got := files(t, c.image, c.env, ca)[c.want]
		if !strings.Contains(got, string(cert.Raw)) {
			t.Errorf("%s: the authority is not in %q", c.name, got)
		}
		if !isJKS([]byte(got)) && strings.Contains(got, "\x02\x01\x07") {
			t.Errorf("%s: the checksum is still there", c.name)
		}
	}
	for name, store := range map[string]string{"text": "text", "nothing": "", "a JCEKS": "\xce\xce\xce\xce" + string(newJKS()[4:]), "a store cut off": string(newJKS()[:20]), "another version": string(emptyPKCS12(t, 4))} {
		image := map[string]string{"/etc/ssl/certs/java/cacerts": store}
		if got, there := files(t, image, nil, ca)["/etc/ssl/certs/java/cacerts"]; there {
			t.Errorf("%s was replaced by %q", name, got)
		}
	}
}

func TestJavaKeyStoreKeepsWhatItHad(t *testing.T) {
	one, err := addToJKS(newJKS(), "one", time.Unix(0, 0), []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := addToJKS(one, "two", time.Unix(0, 0), []byte("second"), []byte("third"))
	if err != nil {
		t.Fatal(err)
	}
	if binary.BigEndian.Uint32(two[8:]) != 3 || !bytes.Contains(two, one[jksHead:len(one)-sha1.Size]) || !bytes.Contains(two, []byte("third")) {
		t.Errorf("it is %q", two)
	}
}
