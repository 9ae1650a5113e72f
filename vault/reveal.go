package vault

import "context"

// Reveal returns a credential's value to a member: the one way out but the proxy's.
func (v *Vault) Reveal(ctx context.Context, c Caller, key string) (Value, error) {
	var value Value
	prepare := func() (change, error) {
		if err := CheckKey(key); err != nil {
			return nil, err
		}
		o, err := v.opened(ctx, key)
		if err != nil {
			return nil, err
		}
		value, err = v.value(ctx, key, o)
		return nothing, err
	}
	// Without its row in the audit table nothing is shown.
	if err := v.do(ctx, act{caller: c, need: RoleMember, verb: "reveal credential", objects: objectNames([]string{key}), prepare: prepare}); err != nil {
		return Value{}, err
	}
	return value, nil
}
