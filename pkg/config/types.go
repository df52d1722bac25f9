package config

import (
	"net/netip"
	"time"

	"github.com/code-on-incus/coi/pkg/dest"
	"github.com/code-on-incus/coi/pkg/home"
)

// Config is everything that holds for one command, layers merged, the
// project's part filtered and gated. Fields with a key tag are filled from the
// schema row of that name; a test keeps the two in step.
type Config struct {
	Defaults   Defaults   `key:"defaults"`
	Container  Container  `key:"container"`
	Paths      Paths      `key:"paths"`
	Incus      Incus      `key:"incus"`
	Shell      Shell      `key:"shell"`
	Timezone   Timezone   `key:"timezone"`
	SSH        SSH        `key:"ssh"`
	Update     Update     `key:"update"`
	Network    Network    `key:"network"`
	Tool       Tool       `key:"tool"`
	Ports      Ports      `key:"ports"`
	Limits     Limits     `key:"limits"`
	Git        Git        `key:"git"`
	Security   Security   `key:"security"`
	Monitoring Monitoring `key:"monitoring"`
	Detection  Detection  `key:"detection"`

	Workspaces  []WorkspaceRule   // profiles for single workspaces, as written
	Prompts     map[string]Prompt // for run --prompt-name
	Mounts      []Mount           // only those that may be mounted now
	Sockets     []Socket
	Credentials []Credential
	// ToolDomains are the names the tool needs in allowlist mode: those of the
	// configured tool, less the ones of a tool that only the project chose and
	// nobody approved. Empty when network.allow_tool_domains is false.
	ToolDomains []Domain

	Home      home.Home
	Workspace string         // absolute, links resolved; empty when none was given
	Profile   ProfileChoice  // which profile applies and why
	Context   Context        // text of the profile's context file
	Refused   []Refusal      // values of untrusted files that were dropped
	Gated     []Item         // values of untrusted files that wait, or waited, for approval
	Warnings  []Warning      // to be printed by every command that starts a session
	Notes     []Warning      // to be printed unless --quiet
	TrustAll  bool           // COI_TRUST_ALL is set
	values    map[string]val // effective values by key
	files     []string       // every file that was read, lowest layer first
	units     []Unit         // what each untrusted file in use asks for
}

// Defaults is [defaults].
type Defaults struct {
	Profile           string            `key:"profile"`
	ForwardEnv        []string          `key:"forward_env"`
	Environment       map[string]string `key:"environment"`
	EnvCommands       map[string]string `key:"env_commands"` // sh -c on the host, in name order
	EnvCommandTimeout time.Duration     `key:"env_command_timeout"`
}

// WorkspaceRule is one [workspaces."DIR"].
type WorkspaceRule struct {
	Dir     string // ~ expanded
	Profile string
}

// Prompt is one entry of [prompts]: Text, or the absolute path of a file.
type Prompt struct{ Text, File string }

// Container is [container].
type Container struct {
	Image           string        `key:"image"`
	Persistent      bool          `key:"persistent"`
	ShutdownTimeout time.Duration `key:"shutdown_timeout"`
	ReadyTimeout    time.Duration `key:"ready_timeout"`
	StoragePool     string        `key:"storage_pool"` // empty: Incus' default
	Alias           string        `key:"alias"`
	SessionName     string        `key:"session_name"`
	StaleBaseCheck  string        `key:"stale_base_check"` // warn error off
	Docker          bool          `key:"docker"`
	Build           Build         `key:"build"`
}

// Build is [container.build]. Whether it may be used at all depends on where it
// comes from: see Config.Origin.
type Build struct {
	Base        string   `key:"base"`         // empty: ubuntu:24.04 for coi-default, else coi-default
	Mirror      string   `key:"mirror"`       // COI_APT_MIRROR beats it
	NPMRegistry string   `key:"npm_registry"` // COI_NPM_REGISTRY beats it
	Script      string   `key:"script"`       // absolute path
	Commands    []string `key:"commands"`
	Compression string   `key:"compression"` // none gzip xz zstd lz4, or empty
	Agents      []string `key:"agents"`
	CloudInit   bool     `key:"cloud_init"`
}

// Paths is [paths]; all paths absolute.
type Paths struct {
	SessionsDir           string `key:"sessions_dir"` // saved sessions go to <value>-<tool>/
	StorageDir            string `key:"storage_dir"`
	LogsDir               string `key:"logs_dir"`
	PreserveWorkspacePath bool   `key:"preserve_workspace_path"`
}

// Incus is [incus].
type Incus struct {
	Project      string `key:"project"`
	Remote       string `key:"remote"`
	Member       string `key:"member"`
	Group        string `key:"group"`
	CodeUID      int    `key:"code_uid"`
	CodeUser     string `key:"code_user"`
	DisableShift bool   `key:"disable_shift"`
}

// Shell is [shell].
type Shell struct {
	UseTmux bool `key:"use_tmux"`
}

// Timezone is [timezone].
type Timezone struct {
	Mode string `key:"mode"` // host fixed utc
	Name string `key:"name"` // IANA zone when Mode is fixed
}

// SSH is [ssh].
type SSH struct {
	ForwardAgent bool `key:"forward_agent"`
}

// Update is [update].
type Update struct {
	Source string `key:"source"`
}

// Network is [network].
type Network struct {
	Mode                    string         `key:"mode"` // restricted allowlist open
	BlockPrivateNetworks    bool           `key:"block_private_networks"`
	BlockMetadataEndpoint   bool           `key:"block_metadata_endpoint"`
	AllowLocalNetworkAccess bool           `key:"allow_local_network_access"`
	AllowedDomains          []Domain       // network.allowed_domains, approved ones only
	AllowToolDomains        bool           `key:"allow_tool_domains"`
	AllowHostRegistries     bool           `key:"allow_host_registries"`
	RefreshIntervalMinutes  int            `key:"refresh_interval_minutes"`
	IPv6                    bool           `key:"ipv6"`
	Pool                    netip.Prefix   `key:"pool"`
	Pool6                   netip.Prefix   `key:"pool6"`
	DNSServers              []netip.Addr   `key:"dns_servers"`
	DNSQueriesPerSecond     int            `key:"dns_queries_per_second"`
	Connections             int            `key:"connections"`
	AllowedPorts            []dest.Ports   `key:"allowed_ports"` // empty: all
	Hosts                   []HostEntry    // network.hosts
	Uplinks                 []string       `key:"uplinks"` // "auto" or interface names
	Mark                    uint32         `key:"mark"`
	VethTag                 string         `key:"veth_tag"`
	ManageForeign           bool           `key:"manage_foreign"`
	SNI                     string         `key:"sni"`
	UseSudo                 bool           `key:"use_sudo"` // no effect
	Logging                 NetworkLogging `key:"logging"`
}

// NetworkLogging is [network.logging].
type NetworkLogging struct {
	Enabled bool   `key:"enabled"`
	DNS     bool   `key:"dns"`
	Flows   bool   `key:"flows"`
	Path    string `key:"path"`
}

// Domain is one allowed destination and where it was written.
type Domain struct {
	dest.Dest
	Written string // the entry as written
	Trusted bool   // false: a project file, approved
	Origin  Origin
}

// HostEntry is one [[network.hosts]].
type HostEntry struct {
	IP        string // an address, or "host" for the host itself
	Hostnames []string
	Ports     []dest.Ports // empty: all
	Origin    Origin
}

// Tool is [tool].
type Tool struct {
	Name            string     `key:"name"`
	Binary          string     `key:"binary"`
	PermissionMode  string     `key:"permission_mode"` // bypass interactive
	ContextFile     string     `key:"context_file"`
	AutoContext     bool       `key:"auto_context"`
	ContextJSON     bool       `key:"context_json"`
	ContextJSONFile string     `key:"context_json_file"`
	PreLaunch       []string   `key:"pre_launch"`
	Claude          ToolModel  `key:"claude"`
	Codex           ToolModel  `key:"codex"`
	Gemini          ToolModel  `key:"gemini"`
	Aider           ToolModel  `key:"aider"`
	Custom          CustomTool `key:"custom"`
}

// ToolModel is [tool.claude] and its like; a tool uses the fields that its
// section has.
type ToolModel struct {
	Model           string `key:"model"`
	EffortLevel     string `key:"effort_level"`     // claude
	ReasoningEffort string `key:"reasoning_effort"` // codex
}

// CustomTool is [tool.custom]. Paths are relative to the home directory.
type CustomTool struct {
	Command       []string `key:"command"`
	ResumeCommand []string `key:"resume_command"`
	PromptCommand []string `key:"prompt_command"`
	ConfigDir     string   `key:"config_dir"`
	Files         []string `key:"files"`
	Save          []string `key:"save"`
	Domains       []string `key:"domains"`
}

// Ports is [ports].
type Ports struct {
	Pool int       `key:"pool"`
	Map  []PortMap // ports.map
}

// PortMap is one [[ports.map]]. Host 0 means any free port.
type PortMap struct {
	Name            string
	Container, Host int
	Listen          netip.Addr
	Trusted         bool
	Origin          Origin
}

// Limits is [limits]; an empty string is no limit.
type Limits struct {
	CPU     CPULimits     `key:"cpu"`
	Memory  MemoryLimits  `key:"memory"`
	Disk    DiskLimits    `key:"disk"`
	Runtime RuntimeLimits `key:"runtime"`
}

// CPULimits is [limits.cpu].
type CPULimits struct {
	Count     string `key:"count"`     // "2", "0-3", "0,1,3"
	Allowance string `key:"allowance"` // "50%", "25ms/100ms"
	Priority  int    `key:"priority"`  // 0-10
}

// MemoryLimits is [limits.memory].
type MemoryLimits struct {
	Limit   string `key:"limit"`   // size or percent
	Enforce string `key:"enforce"` // soft hard
	Swap    string `key:"swap"`    // "true", "false" or a size
}

// DiskLimits is [limits.disk]; Quota and Rate say what Max means.
type DiskLimits struct {
	Size      string `key:"size"`
	Max       string `key:"max"`
	Read      string `key:"read"`
	Write     string `key:"write"`
	Priority  int    `key:"priority"`
	TmpfsSize string `key:"tmpfs_size"`
}

// RuntimeLimits is [limits.runtime]; MaxDuration 0 is no limit.
type RuntimeLimits struct {
	MaxDuration  time.Duration `key:"max_duration"`
	WarnBefore   time.Duration `key:"warn_before"`
	MaxProcesses int           `key:"max_processes"`
	AutoStop     bool          `key:"auto_stop"`
	StopGraceful bool          `key:"stop_graceful"`
}

// Git is [git].
type Git struct {
	Name                     string   `key:"name"`
	Email                    string   `key:"email"`
	SeedHostIdentity         bool     `key:"seed_host_identity"`
	ReadOnly                 bool     `key:"readonly"`
	StripAttribution         bool     `key:"strip_attribution"`
	StripAttributionPatterns []string `key:"strip_attribution_patterns"`
	ProtectedBranches        []string `key:"protected_branches"`
	WritableHooks            bool     `key:"writable_hooks"`
}

// Security is [security]. Paths are relative to the workspace; Protected and
// Watched give the lists in force.
type Security struct {
	ProtectedPaths            []string `key:"protected_paths"`
	AdditionalProtectedPaths  []string `key:"additional_protected_paths"`
	WritablePaths             []string `key:"writable_paths"`
	WatchedPaths              []string `key:"watched_paths"`
	AdditionalWatchedPaths    []string `key:"additional_watched_paths"`
	DisableProtection         bool     `key:"disable_protection"`
	HostImmutable             bool     `key:"host_immutable"`
	StrictProtection          bool     `key:"strict_protection"`
	SecretPaths               []string `key:"secret_paths"`
	ReduceKernelSurface       bool     `key:"reduce_kernel_surface"`
	ReduceKernelSurfaceStrict bool     `key:"reduce_kernel_surface_strict"`
}

// Monitoring is [monitoring].
type Monitoring struct {
	Enabled                   *bool             `key:"enabled"` // nil: on if the watcher can run; see MustMonitor
	AutoPauseOnHigh           bool              `key:"auto_pause_on_high"`
	AutoKillOnCritical        bool              `key:"auto_kill_on_critical"`
	PollIntervalSec           int               `key:"poll_interval_sec"`
	FileReadThresholdMB       float64           `key:"file_read_threshold_mb"`
	FileReadRateMBPerSec      float64           `key:"file_read_rate_mb_per_sec"`
	ProcessCountThreshold     int               `key:"process_count_threshold"`      // 0: off
	ProcessSpawnRateThreshold int               `key:"process_spawn_rate_threshold"` // 0: off
	UploadWarnMB              int               `key:"upload_warn_mb"`
	UploadHighMB              int               `key:"upload_high_mb"`
	OnLoss                    string            `key:"on_loss"`     // warn pause
	FileEvents                string            `key:"file_events"` // classes all
	Notify                    []string          `key:"notify"`
	Levels                    map[string]string `key:"levels"` // rule id: level
	ReverseShellOneLiners     string            `key:"reverse_shell_one_liners"`
	AuditLogRetentionDays     int               `key:"audit_log_retention_days"`
	AuditMaxSizeMB            int               `key:"audit_max_size_mb"`
	ForensicsOnKill           bool              `key:"forensics_on_kill"`
	NFT                       NFT               `key:"nft"`
}

// NFT is [monitoring.nft].
type NFT struct {
	Enabled            bool `key:"enabled"`
	RateLimitPerSecond int  `key:"rate_limit_per_second"`
	DNSQueryThreshold  int  `key:"dns_query_threshold"` // queries a minute
	LogDNSQueries      bool `key:"log_dns_queries"`
}

// Detection is [detection]; directories absolute.
type Detection struct {
	SigmaSource    string `key:"sigma_source"`
	GTFOBinsSource string `key:"gtfobins_source"`
	SigmaDir       string `key:"sigma_dir"`
	GTFOBinsDir    string `key:"gtfobins_dir"`
	PatternsDir    string `key:"patterns_dir"`
}
