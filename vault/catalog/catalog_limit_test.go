package catalog

import "testing"

func TestHintSuggestsAFewNames(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  int
	}{{[]string{"api-a", "api-b", "api-c"}, maxNear}, {[]string{"api-a", "api-b", "api-c", "api-d"}, maxNear}, {[]string{"api-a", "other"}, 1}} {
		if got := near("api", c.names); len(got) != c.want {
			t.Errorf("of %v it suggests %v", c.names, got)
		}
	}
}
