package backup

// Quick is to with a passphrase that takes a moment, where a real one takes a second.
func Quick(to Recipients) Recipients {
	to.workFactor = 4
	return to
}
