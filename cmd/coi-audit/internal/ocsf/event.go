package ocsf

import (
	"strconv"
	"unicode/utf8"

	"github.com/code-on-incus/coi/pkg/plain"
)

const virtual = 6 // device.type_id

// event holds the attributes of all classes we make; absent ones are left out.
type event struct {
	ActivityID    int            `json:"activity_id"`
	ActivityName  string         `json:"activity_name,omitempty"`
	CategoryUID   int            `json:"category_uid"`
	ClassUID      int            `json:"class_uid"`
	TypeUID       int            `json:"type_uid"`
	Time          int64          `json:"time"`
	EndTime       int64          `json:"end_time,omitempty"`
	Count         int            `json:"count,omitempty"`
	SeverityID    int            `json:"severity_id"`
	Message       string         `json:"message"`
	ActionID      int            `json:"action_id"`
	DispositionID int            `json:"disposition_id"`
	Disposition   string         `json:"disposition"`
	Metadata      metadata       `json:"metadata"`
	Device        device         `json:"device"`
	Container     named          `json:"container"`
	Actor         *actor         `json:"actor,omitempty"`
	FindingInfo   *findingInfo   `json:"finding_info,omitempty"`
	Evidences     []evidence     `json:"evidences,omitempty"`
	Remediation   *remediation   `json:"remediation,omitempty"`
	Process       *proc          `json:"process,omitempty"`
	File          *fileObject    `json:"file,omitempty"`
	Src           *endpoint      `json:"src_endpoint,omitempty"`
	Dst           *endpoint      `json:"dst_endpoint,omitempty"`
	Connection    *connection    `json:"connection_info,omitempty"`
	FirewallRule  *rule          `json:"firewall_rule,omitempty"`
	Query         *query         `json:"query,omitempty"`
	Rcode         string         `json:"rcode,omitempty"`
	App           *product       `json:"app,omitempty"`
	Unmapped      map[string]any `json:"unmapped"`
	RawData       string         `json:"raw_data,omitempty"`
}

type metadata struct {
	Product        product  `json:"product"`
	Version        string   `json:"version"`
	UID            string   `json:"uid,omitempty"`
	EventCode      string   `json:"event_code,omitempty"`
	Sequence       int      `json:"sequence"`
	OriginalTime   string   `json:"original_time"`
	CorrelationUID string   `json:"correlation_uid,omitempty"`
	Profiles       []string `json:"profiles"`
}

type product struct {
	Name    string `json:"name"`
	Vendor  string `json:"vendor_name"`
	Version string `json:"version,omitempty"`
	UID     string `json:"uid,omitempty"`
}

type device struct {
	Name     string `json:"name"`
	TypeID   int    `json:"type_id"`
	Hostname string `json:"hostname,omitempty"`
}

type named struct {
	Name string `json:"name"`
}

type actor struct {
	Process *proc `json:"process"`
}

type proc struct {
	PID     int         `json:"pid,omitempty"`
	Name    string      `json:"name,omitempty"`
	CmdLine string      `json:"cmd_line,omitempty"`
	Cwd     string      `json:"working_directory,omitempty"`
	File    *fileObject `json:"file,omitempty"`
	User    *user       `json:"user,omitempty"`
	Parent  *proc       `json:"parent_process,omitempty"`
}

type user struct {
	UID string `json:"uid"`
}

type fileObject struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	TypeID int    `json:"type_id"`
	Hashes []hash `json:"hashes,omitempty"`
}

type hash struct {
	AlgorithmID int    `json:"algorithm_id"`
	Value       string `json:"value"`
}

type findingInfo struct {
	UID         string    `json:"uid"`
	Title       string    `json:"title"`
	Desc        string    `json:"desc,omitempty"`
	Types       []string  `json:"types"`
	CreatedTime int64     `json:"created_time"`
	Analytic    *analytic `json:"analytic"`
}

type analytic struct {
	UID    string `json:"uid"`
	Name   string `json:"name"`
	TypeID int    `json:"type_id"`
}

type evidence struct {
	File *fileObject `json:"file,omitempty"`
}

type remediation struct {
	Desc string `json:"desc"`
}

type endpoint struct {
	Name     string `json:"name,omitempty"`
	IP       string `json:"ip,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	Port     int    `json:"port,omitempty"`
}

type connection struct {
	Protocol    string `json:"protocol_name,omitempty"`
	DirectionID int    `json:"direction_id"`
}

type rule struct {
	UID  string `json:"uid"`
	Name string `json:"name"`
}

type query struct {
	Hostname string `json:"hostname"`
	Type     string `json:"type,omitempty"`
}

// safe writes what could steer a terminal or hide text as \uXXXX. Outside of
// strings JSON is ASCII, so the meaning stays.
func safe(b []byte) []byte {
	for i := range b {
		if b[i] >= 0x7f {
			return escaped(b)
		}
	}
	return b
}

func escaped(b []byte) []byte {
	out := make([]byte, 0, len(b)+64)
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case !plain.Unprintable(r):
			out = append(out, b[i:i+n]...)
		case r > 0xffff:
			out = unicode(out, 0xd800+(r-0x10000)>>10)
			out = unicode(out, 0xdc00+(r-0x10000)&0x3ff)
		default:
			out = unicode(out, r)
		}
		i += n
	}
	return out
}

func unicode(b []byte, r rune) []byte {
	h := strconv.FormatInt(int64(r), 16)
	return append(append(b, `\u`+"0000"[len(h):]...), h...)
}
