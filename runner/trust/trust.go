// Package trust works out which files make the programs of an image trust one more authority.
// It touches nothing: what is in the image it asks of a Source, and what belongs into the container it gives back.
package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
)

// Bundle is where the image's own roots and the new authority lie in a container. The variables of Env name it.
const Bundle = "/etc/av/ca-bundle.pem"

// File belongs into a container, under its absolute path. Anybody may read it.
type File struct {
	Path    string
	Content []byte
}

// Files gives what a container of an image needs to trust the authority (PEM) by its files alone. What the image has
// keeps what it had: the authority is added to it. env is the image's environment.
func Files(ctx context.Context, src Source, env []string, authority []byte) ([]File, error) {
	block, _ := pem.Decode(authority)
	if block == nil {
		return nil, errors.New("the authority is no PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	o := outfit{view: newView(src), ca: cert, pem: pem.EncodeToMemory(block)}
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return o.bundles(ctx, env) },
		o.hashed,
		o.anchors,
		func(ctx context.Context) error { return o.java(ctx, env) },
		o.policies,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return o.files, nil
}

// outfit is the files of one image, on their way.
type outfit struct {
	*view
	ca    *x509.Certificate
	pem   []byte
	roots []byte // the image's own
	files []File
	size  int // of all of them
}

// add puts a file where a path leads in the image, so that what is a link there stays one and all its names see the same.
// A path that cannot be: a link that leads round in circles, a file where a folder should be: no program reads it either.
func (o *outfit) add(ctx context.Context, name string, content []byte) error {
	real, _, err := o.resolve(ctx, name)
	if errors.Is(err, errNowhere) {
		return nil
	}
	if err != nil {
		return err
	}
	return o.put(real, content)
}

// maxPut is how much is put into a container in all, in bytes. An image may have any number
// of names for one large file.
const maxPut = 32 << 20

// put has a file put where no link leads elsewhere, once.
func (o *outfit) put(real string, content []byte) error {
	if o.has(real) {
		return nil
	}
	if o.size += len(content); o.size > maxPut {
		return fmt.Errorf("what the image's programs trust is longer than %d bytes in all", maxPut)
	}
	o.files = append(o.files, File{real, content})
	return nil
}

func (o *outfit) has(real string) bool {
	return slices.ContainsFunc(o.files, func(f File) bool { return f.Path == real })
}

// existing gives what a path leads to where that is a file.
func (o *outfit) existing(ctx context.Context, name string) (real string, content []byte, ok bool, err error) {
	real, entry, err := o.resolve(ctx, name)
	if errors.Is(err, errNowhere) || err == nil && entry.Kind != Regular {
		return "", nil, false, nil
	}
	if err != nil {
		return "", nil, false, err
	}
	content, err = o.src.Read(ctx, real)
	return real, content, err == nil, err
}

// bundles adds the authority to every file that the image keeps its roots in.
func (o *outfit) bundles(ctx context.Context, env []string) error {
	own := named(env)
	for i, name := range append(own, bundles...) {
		real, content, ok, err := o.existing(ctx, name)
		if err != nil {
			return err
		}
		full := bytes.Contains(content, []byte("-----BEGIN "))
		// What a variable names may be anything. At a distribution's path an empty file is a package that was not set up.
		if !ok || o.has(real) || i < len(own) && !full {
			continue
		}
		if o.roots == nil && full {
			o.roots = content
		}
		if err := o.put(real, o.joined(content)); err != nil {
			return err
		}
	}
	if o.roots == nil {
		var err error
		if o.roots, err = o.fromFolders(ctx); err != nil {
			return err
		}
		for _, name := range usual {
			if err := o.add(ctx, name, o.joined(o.roots)); err != nil {
				return err
			}
		}
	}
	return o.put(Bundle, o.joined(o.roots))
}

// joined is a bundle of roots with the authority.
func (o *outfit) joined(roots []byte) []byte {
	roots = bytes.TrimRight(roots, "\n")
	if len(roots) == 0 {
		return o.pem
	}
	return slices.Concat(roots, []byte("\n"), o.pem)
}

// fromFolders gathers the roots of an image that has them in files of their own and in no bundle.
func (o *outfit) fromFolders(ctx context.Context) ([]byte, error) {
	var all []byte
	seen := map[string]bool{}
	for _, dir := range folders {
		real, entry, err := o.resolve(ctx, dir)
		if errors.Is(err, errNowhere) || err == nil && entry.Kind != Dir {
			continue
		}
		if err != nil {
			return nil, err
		}
		names, err := o.src.List(ctx, real)
		if err != nil {
			return nil, err
		}
		for _, name := range names[:min(len(names), maxRoots)] {
			_, content, ok, err := o.existing(ctx, path.Join(real, name))
			if err != nil {
				return nil, err
			}
			// The name with a hash and the name with a name are one certificate.
			if block, _ := pem.Decode(content); ok && block != nil && block.Type == "CERTIFICATE" && !seen[string(block.Bytes)] {
				seen[string(block.Bytes)] = true
				all = append(all, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
			}
			if len(all) > maxGathered {
				return nil, fmt.Errorf("the certificates in %s of the image are longer than %d bytes", real, maxGathered)
			}
		}
	}
	return all, nil
}

const (
	// maxRoots is how many files of a folder of certificates are looked at.
	maxRoots = 1024
	// maxGathered is how much is taken from there, in bytes.
	maxGathered = 4 << 20
)

// hashed puts the authority into the folders in which OpenSSL looks for an authority by the hash of its name.
func (o *outfit) hashed(ctx context.Context) error {
	hash := SubjectHash(o.ca.RawSubject)
	for i, dir := range folders {
		_, entry, err := o.resolve(ctx, dir)
		if errors.Is(err, errNowhere) {
			continue
		}
		if err != nil {
			return err
		}
		// The first is made where there is none: a program of the workspace may look there.
		if entry.Kind != Dir && (i > 0 || entry.Kind != None) {
			continue
		}
		for n := range maxSameHash {
			name := fmt.Sprintf("%s/%s.%d", dir, hash, n)
			// Whatever has the name stays: OpenSSL tries one number after the other.
			if _, entry, err := o.resolve(ctx, name); err == nil && entry.Kind != None {
				continue
			} else if err != nil && !errors.Is(err, errNowhere) {
				return err
			}
			if err := o.add(ctx, name, o.pem); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// maxSameHash is how many names with one hash are tried.
const maxSameHash = 10

// anchors puts the authority where the distribution's own tool takes it from, which may be run in the box and writes
// the bundles anew: a package that is installed there does that.
func (o *outfit) anchors(ctx context.Context) error {
	for _, a := range anchors {
		_, entry, err := o.resolve(ctx, a.where)
		if errors.Is(err, errNowhere) || err == nil && entry.Kind != Dir {
			continue
		}
		if err != nil {
			return err
		}
		if err := o.add(ctx, a.file, o.pem); err != nil {
			return err
		}
	}
	return nil
}
