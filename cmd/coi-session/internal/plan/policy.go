package plan

import (
	"fmt"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/run"
)

func netWanted(in Input) run.Net {
	c := in.Config
	policy := Policy(c)
	policy.ExtraAddresses = run.ProbeAddresses(in.Container, policy.IPv6)
	return run.Net{
		SchemaVersion: run.Schema, Container: in.Container, Project: c.Incus.Project, SessionID: in.SessionID,
		Veth: coi.VethName(vethTag(in), c.Incus.Project, in.Container), Policy: policy,
		Events: run.NetEvents{
			Enabled: c.Monitoring.NFT.Enabled, PerSecond: c.Monitoring.NFT.RateLimitPerSecond,
			DNSThreshold: c.Monitoring.NFT.DNSQueryThreshold, LogDNS: c.Network.Logging.DNS || c.Monitoring.NFT.LogDNSQueries,
		},
	}
}

// Policy is the network policy of a configuration, in the guard's words.
func Policy(c *config.Config) run.Policy {
	n := c.Network
	p := run.Policy{
		Mode: n.Mode, BlockPrivate: n.BlockPrivateNetworks, BlockMetadata: n.BlockMetadataEndpoint, AllowLocal: n.AllowLocalNetworkAccess,
		IPv6: n.IPv6, DNSQPS: n.DNSQueriesPerSecond, RefreshMinutes: n.RefreshIntervalMinutes, Connections: n.Connections, SNI: n.SNI,
		Allowed: []run.Dest{}, AllowedPorts: []string{}, DNSServers: []string{}, Hosts: []run.HostEntry{}, ExtraAddresses: []string{},
	}
	for _, ports := range n.AllowedPorts {
		p.AllowedPorts = append(p.AllowedPorts, ports.String())
	}
	for _, a := range n.DNSServers {
		p.DNSServers = append(p.DNSServers, a.String())
	}
	for _, h := range n.Hosts {
		e := run.HostEntry{IP: h.IP, Names: h.Hostnames}
		for _, ports := range h.Ports {
			e.Ports = append(e.Ports, ports.String())
		}
		p.Hosts = append(p.Hosts, e)
	}
	for _, list := range [][]config.Domain{n.AllowedDomains, c.ToolDomains} {
		for _, d := range list {
			p.Allowed = append(p.Allowed, allowed(d))
		}
	}
	return p
}

func allowed(d config.Domain) run.Dest {
	out := run.Dest{Dest: d.Host(), Origin: fmt.Sprint(d.Origin), Trusted: d.Trusted}
	for _, ports := range d.Ports {
		out.Ports = append(out.Ports, ports.String())
	}
	return out
}

func watchWanted(in Input) run.Watch {
	c := in.Config
	made := time.Now().UTC()
	if in.Old != nil {
		made = in.Old.Created
	}
	return run.Watch{
		MadeAt:        &made,
		SchemaVersion: run.Schema, Container: in.Container, Project: c.Incus.Project, SessionID: in.SessionID,
		Workspace: in.Inside, Source: in.Workspace.Path, Settings: watchSettings(c), User: in.UIDs.User, UID: in.UIDs.UserUID, Home: in.UIDs.Home,
		Tool: in.Tool.Argv, Locked: orEmpty(in.Locked), Watched: orEmpty(c.Security.Watched()), Secrets: orEmpty(in.Secrets),
		Immutable: []string{}, Mounts: in.Mounts.Watch(), Redact: []run.SecretHash{},
	}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func watchSettings(c *config.Config) run.WatchSettings {
	m := c.Monitoring
	s := run.WatchSettings{
		AutoPauseOnHigh: m.AutoPauseOnHigh, AutoKillOnCritical: m.AutoKillOnCritical, PollIntervalSec: m.PollIntervalSec,
		FileReadThresholdMB: m.FileReadThresholdMB, FileReadRateMBPerSec: m.FileReadRateMBPerSec,
		ProcessCount: m.ProcessCountThreshold, ProcessSpawnRate: m.ProcessSpawnRateThreshold,
		UploadWarnMB: m.UploadWarnMB, UploadHighMB: m.UploadHighMB, OnLoss: m.OnLoss, FileEvents: m.FileEvents,
		Notify: orEmpty(m.Notify), Levels: m.Levels, ReverseShellOneLiners: m.ReverseShellOneLiners,
		AuditRetentionDays: m.AuditLogRetentionDays, AuditMaxSizeMB: m.AuditMaxSizeMB, ForensicsOnKill: m.ForensicsOnKill,
		SigmaDir: c.Detection.SigmaDir, GTFOBinsDir: c.Detection.GTFOBinsDir, PatternsDir: c.Detection.PatternsDir,
	}
	for _, d := range c.Network.AllowedDomains {
		s.AllowedDomains = append(s.AllowedDomains, d.Host())
	}
	return s
}
