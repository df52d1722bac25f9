package build

import (
	"context"
	"fmt"
)

// Settings are the parts of a request that come from configuration and
// environment, resolved against the machine.
type Settings struct {
	Alias, Base, Mirror, Registry string
	// BaseGiven says that somebody named the base; else it may be replaced by
	// one that this machine has a mirror for.
	BaseGiven bool
}

// Resolve fills in what nobody said and checks the rest. note says which base
// was taken in place of the usual one, or is empty.
func (s Settings) Resolve(ctx context.Context, home string) (b Base, registry, note string, err error) {
	for key, value := range map[string]string{"container.build.mirror": s.Mirror, "container.build.npm_registry": s.Registry} {
		if value != "" {
			if err := validURL(value); err != nil {
				return b, "", "", fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	if !ValidAlias(s.Alias) {
		return b, "", "", fmt.Errorf("%q cannot be the name of an image", s.Alias)
	}
	ref := s.Base
	if !s.BaseGiven {
		ref, note = DefaultBase(ctx, ref, s.Mirror)
	}
	if b, err = ParseBase(ref); err != nil {
		return b, "", "", err
	}
	if registry = s.Registry; registry == "" {
		registry = machineRegistry(ctx, home)
	}
	return b, registry, note, nil
}
