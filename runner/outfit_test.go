package runner

import "testing"

func TestUserIsAddedOnlyWhereTheImageHasNone(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/bash\nnode:x:1000:1000::/home/node:/bin/sh"
	for id, want := range map[int]bool{0: true, 1000: true, 100: false, 1: false, 10000: false} {
		if got := hasID([]byte(passwd), id); got != want {
			t.Errorf("id %d: %v", id, got)
		}
	}
	if got := string(appendLine([]byte(passwd), "agent:x:7:\n")); got != passwd+"\nagent:x:7:\n" {
		t.Errorf("a file without a last line feed became %q", got)
	}
	if got := string(appendLine(nil, "agent:x:7:\n")); got != "agent:x:7:\n" {
		t.Errorf("no file became %q", got)
	}
}
