package policy

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// units are what a size can be written in, the largest first.
var units = []struct {
	name  string
	bytes int64
}{
	{"EiB", 1 << 60}, {"EB", 1e18},
	{"PiB", 1 << 50}, {"PB", 1e15},
	{"TiB", 1 << 40}, {"TB", 1e12},
	{"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6},
	{"KiB", 1 << 10}, {"kB", 1e3},
	{"B", 1},
}

// maxSize is the longest text that is looked at as a size: no size of 63 bits needs more.
const maxSize = 64

// ParseSize reads a number of bytes as people write it: 512, 10MB, 1.5GB, 64 MiB. Its
// units are those of 1000 (kB, MB, GB, ...) and of 1024 (KiB, MiB, GiB, ...), in any case. K
// and M alone, which mean the one to some and the other to others, are refused.
func ParseSize(s string) (int64, error) {
	n, err := readSize(s)
	if err != nil {
		return 0, &problem{fmt.Sprintf("refusing the size %s: %v", short(s), err), "write it as 10MB"}
	}
	return n, nil
}

func readSize(s string) (int64, error) {
	number := s[:len(s)-len(strings.TrimLeft(s, "0123456789."))]
	whole, fraction, decimal := strings.Cut(number, ".")
	switch {
	case s == "":
		return 0, errors.New("it is empty")
	case len(s) > maxSize:
		return 0, errors.New("it is too long")
	case s[0] == '-':
		return 0, errors.New("it is negative")
	case whole == "" || decimal && fraction == "" || strings.Contains(fraction, "."):
		return 0, errors.New("it does not begin with a number")
	case len(whole) > 1 && whole[0] == '0':
		// YAML reads 010 as eight, people as ten.
		return 0, errors.New("its number begins with 0")
	}
	factor, err := unit(s[len(number):])
	if err != nil {
		return 0, err
	}
	// A fraction of big numbers: 1.1GB has to be 1100000000 and nothing beside it.
	n, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, errors.New("it does not begin with a number")
	}
	n.Mul(n, new(big.Rat).SetInt64(factor))
	switch {
	case !n.IsInt():
		return 0, errors.New("it is not a whole number of bytes")
	case !n.Num().IsInt64():
		return 0, errors.New("it is larger than any size")
	}
	return n.Num().Int64(), nil
}

// unit is how many bytes one of name is. One blank may stand before it.
func unit(name string) (int64, error) {
	if name == "" {
		return 1, nil
	}
	name = strings.TrimPrefix(name, " ")
	for _, u := range units {
		// EqualFold takes the Kelvin sign for a k.
		if strings.EqualFold(u.name, name) && isASCII(name) {
			return u.bytes, nil
		}
	}
	return 0, fmt.Errorf("%s is none of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB", short(name))
}

// FormatSize writes n as ParseSize reads it back: in the largest unit of which it is a
// whole number, and in plain bytes if it is of none.
func FormatSize(n int64) string {
	for _, u := range units {
		if n > 0 && u.bytes > 1 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
