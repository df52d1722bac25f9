package daemon

// poll does what nobody tells about: losses, thaws by others, rebuilt tables.
func (c *container) poll() {
	if c.judge == nil {
		return
	}
	if c.group != nil {
		c.countLosses()
		if c.status.Frozen != nil && !c.resp.pending && !c.resp.killed && !c.group.Frozen() {
			c.resp.thawed() // by Incus or by hand
		}
	}
	c.report()
}

// countLosses tells of events that will never be judged, and looks at
// everything in their place.
func (c *container) countLosses() {
	lost := c.d.source.lost(c.slot) + c.inbox.dropped()
	if lost <= c.losses.told {
		return
	}
	c.losses.told = lost
	c.status.Lost = lost
	c.survey()
}
