package policy_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/av-project/av/vault/policy"
)

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// What the manual shows is what people copy.
func TestExamplesOfTheManualAreServices(t *testing.T) {
	pem := func(string) ([]byte, error) { return []byte(certificatePEM(t)), nil }
	for file, least := range map[string]int{"../../docs/services.md": 6, "../../README.md": 1} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks := yamlBlock.FindAllSubmatch(src, -1)
		if len(blocks) < least {
			t.Errorf("%s has %d examples", file, len(blocks))
		}
		for _, block := range blocks {
			services, err := policy.Parse(file, block[1], pem)
			if err == nil {
				_, err = policy.Compile(services, nil, policy.Deny)
			}
			if err != nil || len(services) == 0 {
				t.Errorf("%v\n%s", err, block[1])
			}
		}
	}
}
