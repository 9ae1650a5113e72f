package trust

import (
	"context"
	"encoding/pem"
	"errors"
	"path"
	"strings"
)

// javaStores are where distributions keep the one store of all their Javas.
var javaStores = []string{"/etc/ssl/certs/java/cacerts", "/etc/pki/java/cacerts", "/var/lib/ca-certificates/java-cacerts"}

// javaHomes are where a Java lies that neither JAVA_HOME nor PATH names.
var javaHomes = []string{"/usr/lib/jvm/default-java", "/usr/lib/jvm/default-jvm", "/usr/lib/jvm/java", "/usr/lib/jvm/jre", "/opt/java/openjdk"}

// defaultPath is what engines search where an image sets no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// maxPathFolders is how many folders of an image's PATH are looked into for a java.
const maxPathFolders = 32

// java adds the authority to the stores of the image's Javas. A Java reads no bundle and no variable that it does not
// also talk of on its standard error (JAVA_TOOL_OPTIONS), which breaks scripts.
func (o *outfit) java(ctx context.Context, env []string) error {
	for _, name := range javaStores {
		if err := o.store(ctx, name, false); err != nil {
			return err
		}
	}
	homes, err := o.javaHomes(ctx, env)
	if err != nil {
		return err
	}
	for _, home := range homes {
		for _, security := range []string{"lib/security", "jre/lib/security"} {
			dir := path.Join(home, security)
			_, entry, err := o.resolve(ctx, dir)
			if errors.Is(err, errNowhere) || err == nil && entry.Kind != Dir {
				continue
			}
			if err != nil {
				return err
			}
			// Java takes the first where it is there, and then not the second.
			err = o.store(ctx, path.Join(dir, "jssecacerts"), false)
			if err == nil {
				err = o.store(ctx, path.Join(dir, "cacerts"), true)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// javaHomes are the folders in which a Java may lie, as far as a few looks tell.
func (o *outfit) javaHomes(ctx context.Context, env []string) ([]string, error) {
	var homes []string
	if home := path.Clean(lookup(env, "JAVA_HOME")); path.IsAbs(home) {
		homes = append(homes, home)
	}
	search := lookup(env, "PATH")
	if search == "" {
		search = defaultPath
	}
	dirs := strings.Split(search, ":")
	for _, dir := range dirs[:min(len(dirs), maxPathFolders)] {
		if !path.IsAbs(dir) {
			continue
		}
		real, entry, err := o.resolve(ctx, path.Join(dir, "java"))
		if errors.Is(err, errNowhere) || err == nil && entry.Kind != Regular {
			continue
		}
		if err != nil {
			return nil, err
		}
		if home, ok := strings.CutSuffix(real, "/bin/java"); ok {
			homes = append(homes, home)
		}
	}
	return append(homes, javaHomes...), nil
}

// store adds the authority to one store, or where a Java wants one and there is none makes it.
func (o *outfit) store(ctx context.Context, name string, wanted bool) error {
	real, entry, err := o.resolve(ctx, name)
	if errors.Is(err, errNowhere) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.has(real) {
		return nil
	}
	switch entry.Kind {
	case Regular:
		content, err := o.src.Read(ctx, real)
		if err != nil {
			return err
		}
		if content, err = o.addToStore(content); err != nil {
			return nil // one that is neither of Java's formats stays as it is
		}
		return o.put(real, content)
	case None:
		if !wanted {
			return nil
		}
		content, err := o.newStore()
		if err != nil {
			return err
		}
		return o.put(real, content)
	}
	return nil
}

func (o *outfit) addToStore(store []byte) ([]byte, error) {
	if isJKS(store) {
		return addToJKS(store, o.alias(), o.ca.NotBefore, o.ca.Raw)
	}
	return addToPKCS12(store, o.alias(), o.ca.Raw)
}

// newStore is a store of the image's own roots and the authority.
func (o *outfit) newStore() ([]byte, error) {
	var certificates [][]byte
	for rest := o.joined(o.roots); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return addToJKS(newJKS(), o.alias(), o.ca.NotBefore, certificates...)
		}
		if block.Type == "CERTIFICATE" {
			certificates = append(certificates, block.Bytes)
		}
	}
}

func (o *outfit) alias() string { return "av-" + SubjectHash(o.ca.RawSubject) }
