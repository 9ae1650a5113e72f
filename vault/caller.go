package vault

import "fmt"

// Role is what a caller may do with a vault. Each role may do what the one before
// it may.
type Role uint8

const (
	// RoleProxy uses services through the proxy and reads no value.
	RoleProxy Role = iota + 1
	// RoleMember also lists, and sets credentials.
	RoleMember
	// RoleAdmin also changes services, opens and ends sessions, and removes.
	RoleAdmin
)

func (r Role) String() string {
	switch r {
	case RoleProxy:
		return "proxy"
	case RoleMember:
		return "member"
	case RoleAdmin:
		return "admin"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Caller is who asks. The zero Caller may do nothing.
type Caller struct {
	Name string
	Role Role
	// Vault is the id of the one vault that the role is for; "" is any of the file.
	Vault string
}

// Owner is the person at the keyboard: the mode of the vault's file let them in,
// so there is nothing that this program could keep from them.
func Owner() Caller { return Caller{Name: "owner", Role: RoleAdmin} }

// wholeFile is what acts need that are about the file and not about one of its vaults.
func wholeFile(c Caller, act string) error {
	if c.Vault != "" {
		return fmt.Errorf("%s as %q: %w: its role is on one vault of the file", act, clip(c.Name, maxName), ErrForbidden)
	}
	return nil
}

// authorise says no to a caller whose role is too small, or is one on another vault.
func (v *Vault) authorise(c Caller, need Role, act string) error {
	if c.Vault != "" && c.Vault != v.id {
		return fmt.Errorf("%s as %q: %w: its role is on another vault", act, clip(c.Name, maxName), ErrForbidden)
	}
	if c.Role >= need && c.Role <= RoleAdmin {
		return nil
	}
	return fmt.Errorf("%s as %q: %w: it has %s and needs %s", act, clip(c.Name, maxName), ErrForbidden, c.Role, need)
}
