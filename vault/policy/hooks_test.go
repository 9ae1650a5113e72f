package policy

// Looks counts what a decision on path looks at: the entries of the index that it asks
// for, in every reading of the path, and the rules that it finds in them.
func Looks(s *Set, t Target, path string) (n int) {
	rule := func(r *rule) bool { n++; return r.covers("GET") }
	for _, reading := range readings(path) {
		for _, place := range s.places(t) {
			if place == nil {
				continue
			}
			index := place.index[reading.form]
			for _, p := range index.prefixes {
				n += len(p.suffixes)
			}
			index.best(reading.form, reading.path, rule)
		}
	}
	return n
}
