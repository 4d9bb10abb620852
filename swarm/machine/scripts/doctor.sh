# What hinders containers and clusters here? Lines KEY=VALUE on stdout; changes nothing.
set -u
export LC_ALL=C PATH="$PATH:/usr/local/bin:/usr/sbin:/sbin"
say() { printf '%s=%s\n' "$1" "$2"; }
has() { command -v "$1" >/dev/null 2>&1; }
say kernel "$(uname -r)"
say now "$(date +%s)"
say uid "$(id -u)"
# What can be tried is tried, in a network namespace that is gone afterwards; else what the kernel's modules say.
alone() { unshare -n "$@" >/dev/null 2>&1; }
modules=/lib/modules/$(uname -r)
module() {
  [ -d "/sys/module/$1" ] || modprobe -n -q "$1" 2>/dev/null || grep -qs "/$1.ko" "$modules/modules.builtin"
}
missing() { # $1 module, rest: what works only with it
  name=$1
  shift
  if [ "$(id -u)" = 0 ] && has "$1" && alone true; then alone "$@" || say no_module "$name"; return; fi
  [ ! -d "$modules" ] || module "$name" || say no_module "$name"
}
grep -qsw overlay /proc/filesystems || module overlay || say no_module overlay
missing veth ip link add d0 type veth
missing bridge ip link add d0 type bridge
missing vxlan ip link add d0 type vxlan id 42 dstport 4789
missing nf_tables nft list ruleset
for space in cgroup ipc mnt net pid user uts; do [ -e "/proc/self/ns/$space" ] || say no_namespace "$space"; done
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  say cgroup 2
  say controllers "$(cat /sys/fs/cgroup/cgroup.controllers)"
else
  say cgroup 1
  say controllers "$(awk '$4 == 1 {printf "%s ", $1}' /proc/cgroups)"
fi
for program in crun conmon nft busybox; do has "$program" || say missing "$program"; done
for manager in apt-get dnf zypper pacman apk; do has $manager && { say packages "$manager"; break; }; done
# 2377 is 0949, 9323 is 246B, 4788 is 12B4, 4789 is 12B5. The kernel's own VXLAN sockets are among those of UDP.
ports() { # $1 protocol, $2 state, rest: NUMBER=HEX
  protocol=$1 state=$2
  shift 2
  for file in "/proc/net/$protocol" "/proc/net/${protocol}6"; do
    for port in "$@"; do
      [ -r "$file" ] && awk -v state="$state" -v hex="${port#*=}" -v line="listens=${port%=*}" \
        '$4 == state {n = split($2, a, ":"); if (a[n] == hex) print line}' "$file"
    done
  done | sort -u
}
ports tcp 0A 2377=0949 9323=246B
ports udp 07 4788=12B4 4789=12B5
# Our own daemon has them by right, whoever started it, if it is on this network.
ours() {
  for file in $(grep -lzE '(^|/)swarmd$' /proc/[0-9]*/cmdline 2>/dev/null); do
    [ "$(readlink "${file%/cmdline}/ns/net")" != "$(readlink /proc/self/ns/net)" ] || return 0
  done
  return 1
}
if ours; then say active active; else say active no; fi
has timedatectl && say synchronized "$(timedatectl show -p NTPSynchronized --value 2>/dev/null)"
say memory_kb "$(awk '/^MemTotal/ {print $2}' /proc/meminfo)"
at=/var/lib/swarm
[ -d "$at" ] || at=/var/lib
say disk_percent "$(df -Pk "$at" | awk 'NR == 2 {sub("%", "", $5); print $5}')"
say disk_free_kb "$(df -Pk "$at" | awk 'NR == 2 {print $4}')"
say inodes_percent "$(df -Pi "$at" 2>/dev/null | awk 'NR == 2 {sub("%", "", $5); print $5}')"
say end yes
