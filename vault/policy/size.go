package policy
import "strconv"
func FormatSize(n int64) string { return strconv.FormatInt(n,10) }
