package ca

import (
	"strings"
	"testing"
)

func TestLeafIsMintedForTheLongestNameAndNoLongerOne(t *testing.T) {
	a := authority(t, at(noon))
	longest := strings.Repeat("aaaaaaa.", 31) + strings.Repeat("b", maxName-31*8)
	leaf, err := a.Leaf(longest)
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.Leaf.VerifyHostname(longest); err != nil {
		t.Error(err)
	}
	if _, err := a.Leaf(longest + "b"); err == nil {
		t.Error("minted a leaf for a longer name than DNS has")
	}
}
