package check

import (
	"slices"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
)

// imageTool looks into the record of the build for the configured agent.
func imageTool(f *facts.Facts) Result {
	if f.Config == nil {
		return skipped("no configuration")
	}
	if f.Config.Tool.Name == "custom" {
		return skipped("the command of a custom tool is not looked for")
	}
	if f.ImagesErr != nil {
		return skipped("no record of the build of %s", wantedImage(f))
	}
	im, known := f.Images[wantedImage(f)]
	if !known {
		return skipped("%s was not built here", wantedImage(f))
	}
	if !slices.Contains(im.Agents, f.Config.Tool.Name) {
		return warn(f.Config.Tool.Name+" is not in "+wantedImage(f), "add it to container.build.agents and run coi build --force")
	}
	return ok("%s is in %s", f.Config.Tool.Name, wantedImage(f))
}
