package trust

import (
	"context"
	"encoding/json"
)

// browsers are the folders from which Chromium and what is built on it read what their machine's owner has decided. That
// they trust an authority can be said there since Chromium 128; the database in HOME in which one said so before is
// the user's, and binary.
var browsers = []string{
	"/etc/chromium/policies/managed",
	"/etc/opt/chrome/policies/managed",
	"/etc/opt/chrome_for_testing/policies/managed",
	"/etc/opt/edge/policies/managed",
}

func (o *outfit) policies(ctx context.Context) error {
	policy, err := json.MarshalIndent(map[string][][]byte{"CACertificates": {o.ca.Raw}}, "", "  ")
	if err != nil {
		return err
	}
	for _, dir := range browsers {
		if err := o.add(ctx, dir+"/av.json", append(policy, '\n')); err != nil {
			return err
		}
	}
	return nil
}
