package catalog

import (
	"slices"

	"github.com/av-project/av/vault/policy"
)

// Preset is what one tool needs to do its work.
type Preset struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Services are the names of entries.
	Services []string `json:"services,omitempty"`
	// Allow are hosts that are reached without a credential, with any method.
	Allow []policy.Target `json:"allow,omitempty"`
}

// Presets are all presets by name.
func Presets() []Preset { return slices.Clone(load().presets) }

// FindPreset returns the preset of that name. Its error suggests names that are near.
func FindPreset(name string) (Preset, error) {
	var names []string
	for _, p := range load().presets {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, unknown("preset", name, names, "")
}
