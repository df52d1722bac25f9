package uidmap

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
)

// File systems that refuse mount_setattr(MOUNT_ATTR_IDMAP): they lack
// FS_ALLOW_IDMAP in Linux 6.12. virtiofs answers with FUSE's number.
const (
	fuseMagic     = 0x65735546
	ninepMagic    = 0x01021997
	nfsMagic      = 0x6969
	cifsMagic     = 0xFF534D42
	smb2Magic     = 0xFE534D42
	overlayMagic  = 0x794c7630
	ecryptfsMagic = 0xf15f
	afsMagic      = 0x6B414653
)

// vmGuestMarks are directories that VM tools put into their guests; such tools
// show the host's files with the guest user's own ids.
var vmGuestMarks = []string{"/mnt/lima-cidata", "/opt/orbstack-guest", "/mnt/multipass-cidata"}

// Probe says which of the sources cannot be idmapped, and whether a VM tool
// maps them already. Sources that cannot be opened are left to those who mount them.
func Probe(sources []string) (unmappable []string, guestMaps bool) {
	return probe(sources, vmGuestMarks)
}

func probe(sources, marks []string) (unmappable []string, guestMaps bool) {
	for _, s := range sources {
		f, err := beneath.OpenAbs(s, unix.O_PATH)
		if err != nil {
			continue
		}
		var st unix.Statfs_t
		err = unix.Fstatfs(int(f.Fd()), &st)
		_ = f.Close()
		if err == nil && refusesIDMap(int64(st.Type)) { //nolint:unconvert // 32 bits wide on some machines
			unmappable = append(unmappable, s)
		}
	}
	for _, m := range marks {
		if _, err := os.Stat(m); err == nil {
			guestMaps = len(unmappable) > 0
		}
	}
	return unmappable, guestMaps
}

func refusesIDMap(magic int64) bool {
	switch magic & 0xFFFFFFFF {
	case fuseMagic, ninepMagic, nfsMagic, cifsMagic, smb2Magic, overlayMagic, ecryptfsMagic, afsMagic:
		return true
	}
	return false
}
