package trust

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Images are anybody's: links, folders and files in them may be of any number and size.

func TestLinksToARootAreFollowedUpToTheirCeiling(t *testing.T) {
	image := map[string]string{"/l0": "text", "/long": "->" + strings.Repeat("a/", maxComponents+1)}
	for n := range maxLinks + 1 {
		image[fmt.Sprintf("/l%d", n+1)] = fmt.Sprintf("->l%d", n)
	}
	v := newView(&fakeImage{entries: image})
	if real, _, err := v.resolve(t.Context(), fmt.Sprintf("/l%d", maxLinks)); err != nil || real != "/l0" {
		t.Errorf("at the ceiling: %q, %v", real, err)
	}
	if real, _, err := v.resolve(t.Context(), fmt.Sprintf("/l%d", maxLinks+1)); !errors.Is(err, errNowhere) {
		t.Errorf("one more: %q, %v", real, err)
	}
	// What is still to be walked when a link adds to it.
	if _, _, err := v.resolve(t.Context(), "/l1/"+strings.Repeat("a/", maxComponents)); !errors.Is(err, errNowhere) {
		t.Errorf("a file is no folder: %v", err)
	}
	v = newView(&fakeImage{entries: map[string]string{"/l": "->/d", "/d": "/"}})
	if _, _, err := v.resolve(t.Context(), "/l/"+strings.Repeat("a/", maxComponents)); err != nil {
		t.Errorf("as long as it may be: %v", err)
	}
	if _, _, err := v.resolve(t.Context(), "/l/"+strings.Repeat("a/", maxComponents+1)); !errors.Is(err, errNowhere) {
		t.Errorf("longer: %v", err)
	}
}

func TestFolderOfRootsIsReadUpToItsCeiling(t *testing.T) {
	_, ca := authority(t, "av test CA")
	image := map[string]string{}
	for n := range maxRoots {
		image[fmt.Sprintf("/etc/ssl/certs/%05d.pem", n)] = "text"
	}
	_, root := authority(t, "a root")
	image[fmt.Sprintf("/etc/ssl/certs/%05d.pem", maxRoots-1)] = root
	if got := files(t, image, nil, ca)[Bundle]; got != root+ca {
		t.Errorf("at the ceiling:\n%s", got)
	}
	image["/etc/ssl/certs/.first"] = "text"
	if got := files(t, image, nil, ca)[Bundle]; got != ca {
		t.Errorf("one more:\n%s", got)
	}
}

func TestRootsOfAFolderAreGatheredUpToTheirCeiling(t *testing.T) {
	_, ca := authority(t, "av test CA")
	// A PEM block of so many lines of 64 characters, which stand for 48 bytes each.
	block := func(fill string, lines int) string {
		return "-----BEGIN CERTIFICATE-----\n" + strings.Repeat(strings.Repeat(fill, 64)+"\n", lines) + "-----END CERTIFICATE-----\n"
	}
	lines := (maxGathered - len(block("A", 0))) / 65
	if got := files(t, map[string]string{"/etc/ssl/certs/a": block("A", lines)}, nil, ca)[Bundle]; len(got) < maxGathered-65 {
		t.Errorf("at the ceiling: %d bytes", len(got))
	}
	image := &fakeImage{entries: map[string]string{"/etc/ssl/certs/a": block("A", lines), "/etc/ssl/certs/b": block("B", 1)}}
	if _, err := Files(t.Context(), image, nil, []byte(ca)); err == nil || !strings.Contains(err.Error(), "longer than 4194304 bytes") {
		t.Errorf("more: %v", err)
	}
}

func TestFoldersOfAPathAreLookedIntoUpToTheirCeiling(t *testing.T) {
	_, ca := authority(t, "av test CA")
	image := map[string]string{"/j/bin/java": "elf", "/j/lib/security/cacerts": string(newJKS())}
	for extra, want := range map[int]bool{maxPathFolders - 1: true, maxPathFolders: false} {
		env := []string{"PATH=" + strings.Repeat("/none:", extra) + "/j/bin"}
		if _, found := files(t, image, env, ca)["/j/lib/security/cacerts"]; found != want {
			t.Errorf("after %d folders: %v", extra, found)
		}
	}
}

// A large file may have many names, and the Javas of an image as many stores.
func TestWhatIsPutIntoAContainerIsBounded(t *testing.T) {
	_, ca := authority(t, "av test CA")
	store := append(newJKS(), make([]byte, 4<<20-8192)...)
	image, env := map[string]string{}, []string{"PATH="}
	for n := range maxPathFolders {
		home := fmt.Sprintf("/j%d", n)
		image[home+"/bin/java"], image[home+"/lib/security/cacerts"] = "elf", string(store)
		if env[0] += home + "/bin:"; n < maxPut/len(store)-1 {
			continue
		}
		list, err := Files(t.Context(), &fakeImage{entries: image}, env, []byte(ca))
		if n == maxPut/len(store)-1 {
			if err != nil {
				t.Errorf("at the ceiling: %v", err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "longer than 33554432 bytes in all") {
			t.Errorf("more: %d files, %v", len(list), err)
		}
		return
	}
	t.Error("all was put in")
}

type brokenImage struct{ fakeImage }

func (brokenImage) Look(context.Context, string) (Entry, error) {
	return Entry{}, errors.New("the engine is gone")
}

// An engine that fails is no image without roots.
func TestImageThatCannotBeLookedIntoIsAnError(t *testing.T) {
	_, ca := authority(t, "av test CA")
	if list, err := Files(t.Context(), &brokenImage{}, nil, []byte(ca)); err == nil {
		t.Errorf("%d files", len(list))
	}
}
