package uidmap

import "strconv"

// renumber gives the code user and its group another number. The account files
// are edited in place of usermod, which would walk into mounts below the home.
// Files of the old ids in the home and in /run/coi follow, on one file system
// only. The last lines are the probe.
const renumber = `set -eu
user=$1 want=$2
if ! getent passwd "$user" >/dev/null; then echo "no user $user in this image" >&2; exit 3; fi
old=$(id -u "$user"); oldg=$(id -g "$user"); home=$(getent passwd "$user" | cut -d: -f6)
group=$(getent group "$oldg" | cut -d: -f1)
if [ "$old" != "$want" ] || [ "$oldg" != "$want" ]; then
  other=$(getent passwd "$want" | cut -d: -f1)
  if [ -n "$other" ] && [ "$other" != "$user" ]; then echo "uid $want belongs to $other in this image" >&2; exit 4; fi
  other=$(getent group "$want" | cut -d: -f1)
  if [ -n "$other" ] && [ "$other" != "$group" ]; then echo "gid $want belongs to group $other in this image" >&2; exit 4; fi
  edit() {
    tmp=$(mktemp "$1.coi.XXXXXX")
    cat "$1" >"$tmp"; chmod --reference="$1" "$tmp"; chown --reference="$1" "$tmp"
    sed "s/^$2:\([^:]*\):$3/$2:\1:$4/" "$1" >"$tmp"
    mv "$tmp" "$1"
  }
  edit /etc/passwd "$user" '[^:]*:[^:]*:' "$want:$want:"
  [ -z "$group" ] || edit /etc/group "$group" '[^:]*:' "$want:"
  for dir in "$home" /run/coi "/var/mail/$user"; do
    [ -e "$dir" ] || continue
    find "$dir" -xdev \( -uid "$old" -o -gid "$oldg" \) -exec chown -h "$want:$want" {} +
  done
fi
if [ -d "$home" ]; then
  find "$home" -maxdepth 0 ! -uid "$want" -exec chown "$want:$want" {} +
fi
[ "$(id -u "$user")" = "$want" ] || { echo "uid of $user is still $(id -u "$user")" >&2; exit 5; }
[ ! -d "$home" ] || [ "$(stat -c %u "$home")" = "$want" ] || { echo "$home does not belong to uid $want" >&2; exit 5; }
`

// Renumber is the command to run as container root: it makes user have uid (and
// its group that gid), and does nothing when that is so already. It exits 3
// when there is no such user, 4 when the number is taken, 5 when the result is
// not as wanted; standard error says which.
func Renumber(user string, uid int) []string {
	return []string{"sh", "-c", renumber, "coi-renumber", user, strconv.Itoa(uid)}
}
