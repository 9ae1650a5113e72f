package egress

import (
	"fmt"
	"net/netip"
	"strings"
)

// Ranges are addresses that an operator lets every allowed host have, beside the
// public ones.
type Ranges []netip.Prefix

// ParseRanges reads a list with commas: 10.1.0.0/16,fd00::/8. Each range must lie in one
// kind of special address, so that nobody opens all of them with a short prefix.
func ParseRanges(list string) (Ranges, error) {
	var ranges Ranges
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		prefix, err := netip.ParsePrefix(entry)
		switch {
		case err != nil:
			return nil, &problem{fmt.Sprintf("%q is not a range of addresses", entry), "write ADDRESS/BITS, such as 10.1.0.0/16"}
		case prefix.Addr().Is4In6():
			return nil, &problem{fmt.Sprintf("range %s is IPv4 written as IPv6", prefix), "write it as IPv4"}
		case prefix != prefix.Masked():
			return nil, &problem{fmt.Sprintf("range %s begins at %s", prefix, prefix.Masked().Addr()), "write " + prefix.Masked().String()}
		}
		if err := grantable(prefix); err != nil {
			return nil, err
		}
		ranges = append(ranges, prefix)
	}
	return ranges, nil
}

// never are the kinds that are no host's own address: nothing can be dialled there, or
// something else is than what the range says.
var never = map[string]bool{
	"unspecified address": true, "multicast address": true, "discard-only address": true,
	"IPv4-compatible address": true, "IPv4-translated address": true, "6to4 address": true, "Teredo address": true,
}

func grantable(prefix netip.Prefix) error {
	for _, s := range special {
		switch {
		case s.prefix.Bits() > prefix.Bits() || !s.prefix.Contains(prefix.Addr()):
			continue
		case never[s.reason]:
			return &problem{fmt.Sprintf("range %s cannot be allowed: %s", prefix, s.reason), "name a private range, such as 10.1.0.0/16"}
		case prefix.IsSingleIP() && isMetadata(prefix.Addr()):
			return &problem{fmt.Sprintf("range %s cannot be allowed: %s", prefix, reasonMetadata), "leave it out: nothing allows it"}
		}
		return nil
	}
	if prefix.IsSingleIP() && judge(prefix.Addr()) == "" {
		return &problem{fmt.Sprintf("range %s is public and need not be allowed", prefix), "leave it out"}
	}
	return &problem{fmt.Sprintf("range %s is wider than one kind of private address, or public", prefix),
		"name what is meant, such as 10.1.0.0/16 or fd12:3456::/32"}
}

// cover says whether addr lies in a range. A metadata service never does.
func (r Ranges) cover(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || isMetadata(addr) {
		return false
	}
	if nat64.Contains(addr) {
		addr = lastFour(addr)
	}
	for _, prefix := range r {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// problem is an error in what an operator wrote.
type problem struct{ text, hint string }

func (p *problem) Error() string { return p.text }

// Hint is how it is written.
func (p *problem) Hint() string { return p.hint }
