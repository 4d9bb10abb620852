# What is this machine? Lines KEY=VALUE on stdout; changes nothing.
set -u
export LC_ALL=C PATH="$PATH:/usr/local/bin:/usr/sbin:/sbin"
say() { printf '%s=%s\n' "$1" "$(printf %s "$2" | tr '\n' ' ')"; }
has() { command -v "$1" >/dev/null 2>&1; }
. /etc/os-release 2>/dev/null
say os "${ID:-unknown}"
say os_version "${VERSION_ID:-}"
say os_like "${ID_LIKE:-}"
say arch "$(uname -m)"
say kernel "$(uname -r)"
say hostname "$(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
say uid "$(id -u)"
say systemd "$([ -d /run/systemd/system ] && echo yes || echo no)"
say now "$(date +%s)"
say boot_id "$(cat /proc/sys/kernel/random/boot_id)"
say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
for python in python3 python3.13 python3.12 python3.11; do
  has "$python" || continue
  path=$(readlink -f "$(command -v "$python")")
  found=$("$path" -I -c 'import struct, sys; print("%d.%d" % sys.version_info[:2], struct.calcsize("P") * 8)' 2>/dev/null) || continue
  version=${found% *}
  case $version in 3.1[1-9]) say python "$version"; say python_bits "${found#* }"; say python_path "$path"; break;; esac
done
for program in crun conmon nft busybox tini-static sha256sum tar gzip; do
  has "$program" || say missing "$program"
done
for manager in apt-get dnf zypper pacman apk; do has $manager && { say packages "$manager"; break; }; done
home=$(getent passwd "${SUDO_USER:-$(id -un)}" 2>/dev/null | cut -d: -f6)
for place in /opt /etc /usr/local /var/lib/swarm "${home:-/root}"; do
  at=$place; while [ ! -d "$at" ]; do at=${at%/*}; at=${at:-/}; done
  free=$(df -Pk "$at" | awk 'NR==2 {print $4}')
  [ -n "$free" ] || continue
  [ "$place" != /opt ] || { files=8192; say disk_free_kb "$free"; }
  say room "$free $place"
  # Some file systems do not count their files.
  df -Pi "$at" 2>/dev/null | awk -v n="${files:-64}" -v at="$place" 'NR==2 && $2 > 0 && $4 < n {print "no_inodes=" at}'
  files=
done
for hex in 0949 246B; do
  for file in /proc/net/tcp /proc/net/tcp6; do
    [ -r $file ] && awk -v p=":$hex" '$4 == "0A" && substr($2, length($2)-4) == p {print "listens=" p}' $file
  done
done | sort -u
has dockerd && say docker "$(has systemctl && systemctl is-active docker 2>/dev/null || echo installed)"
[ ! -e /opt/swarm/.lock ] || flock -n -s /opt/swarm/.lock true || say busy yes
say release "$(basename "$(readlink /opt/swarm/current 2>/dev/null)")"
for mark in /opt/swarm/releases/*/.complete; do
  [ -e "$mark" ] && say complete "$(basename "$(dirname "$mark")")"
done
for program in swarmd swarmctl; do
  link=/usr/local/bin/$program
  { [ -e "$link" ] || [ -L "$link" ]; } || continue
  if [ "$(readlink "$link")" = "/opt/swarm/current/bin/$program" ]; then say linked "$program"; else say foreign "$link"; fi
done
[ -e /usr/share/swarmd/release ] && say foreign "/usr/bin/swarmd of the package swarmd"
[ -r /etc/systemd/system/swarmd.service ] && say unit "$(sha256sum </etc/systemd/system/swarmd.service | cut -c1-64)"
if has systemctl; then
  say active "$(systemctl is-active swarmd 2>/dev/null)"
  say enabled "$(systemctl is-enabled swarmd 2>/dev/null)"
fi
[ -d /var/lib/swarm ] && say state_dir yes
if [ "$(systemctl is-active swarmd 2>/dev/null)" = active ] && [ -x /usr/local/bin/swarmctl ]; then
  say info "$(timeout 180 /usr/local/bin/swarmctl info --format json 2>/dev/null)"
fi
echo end=yes
