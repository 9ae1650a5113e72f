package egress

import "strings"

// metadataNames lead to a metadata service where there is one: on the proxy's machine,
// if the proxy is asked for them.
var metadataNames = map[string]bool{
	"metadata.google.internal":   true,
	"metadata.goog":              true,
	"instance-data.ec2.internal": true,
	"metadata.azure.internal":    true,
	"metadata.tencentyun.com":    true,
	"api.metadata.cloud.ibm.com": true,
}

// judgeName says why a proxy may not be asked for name, "" if it may. It is all there is
// to judge where a name means something to the proxy alone.
func judgeName(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	switch {
	case metadataNames[name]:
		return reasonMetadata
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return "loopback address"
	case !strings.Contains(name, "."):
		// A proxy would go through its search list, which we cannot tell it not to do.
		return "a name of one part, which a proxy would complete in its own way"
	}
	return judgeSpelling(name)
}

// judgeSpelling lets no name through that a proxy could read as an address, such as
// 127.1 or 0x7f.1, or as more than a name. Whoever hands us names has seen to that too.
func judgeSpelling(name string) string {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "" || strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return "a name that could be read as an address"
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return "not a name"
		}
	}
	return ""
}
