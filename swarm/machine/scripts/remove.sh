# Take swarm off this machine; $1 "yes": also what its node knew and the data of its volumes.
set -eu
trap '' HUP PIPE
PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin
if [ -e /usr/share/swarmd/release ]; then
  echo 'the Debian package swarmd looks after this machine: apt purge swarmd there, or add --keep-remote' >&2
  exit 1
fi
if [ -d /opt/swarm ]; then
  exec 9>>/opt/swarm/.lock
  flock -w 600 9 || { echo 'an installation is under way on this machine' >&2; exit 75; }
fi
systemctl disable -q --now swarmd 2>/dev/null || :
if [ -x /opt/swarm/current/bin/swarmd ]; then
  # What it says goes through a file: who asked may be gone, and it is to go on.
  log=$(mktemp)
  timeout 120 /opt/swarm/current/bin/swarmd cleanup >"$log" 2>&1 || { code=$?; cat "$log" >&2; rm -f "$log"; exit $code; }
  rm -f "$log"
fi
rm -f /etc/systemd/system/swarmd.service
systemctl daemon-reload 2>/dev/null || :
for program in swarmd swarmctl; do
  link=/usr/local/bin/$program
  [ "$(readlink "$link" 2>/dev/null)" != "/opt/swarm/current/bin/$program" ] || rm -f "$link"
done
if [ "$1" = yes ]; then
  # What is mounted below is not this machine's to delete; a disk that is mounted there stays, without its files.
  if mountpoint -q /var/lib/swarm; then
    find /var/lib/swarm -xdev -mindepth 1 -delete
  else
    rm -rf --one-file-system /var/lib/swarm
  fi
fi
rm -rf /opt/swarm /run/swarm
