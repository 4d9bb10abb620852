# Use release $1 from now on; go back to the one before when it is not healthy within $2 s. Exit 8: went back.
set -eu
umask 022
trap '' HUP PIPE
PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin
releases=/opt/swarm/releases
unit=/etc/systemd/system/swarmd.service
until
  exec 9>>/opt/swarm/.lock
  flock -w 600 9 || { echo 'another installation is under way on this machine' >&2; exit 75; }
  [ /proc/self/fd/9 -ef /opt/swarm/.lock ]
do :; done

say() { printf '%s\n' "$1" >&2 || :; } # who asked may be gone: that is no reason to stop here
staged="/opt/swarm/.current.new $unit.new /usr/local/bin/swarmd.new /usr/local/bin/swarmctl.new"
stage() { # all that a full disk may hinder, before anything is another than before
  rm -f $staged
  ln -sfn "$releases/$1" /opt/swarm/.current.new || return
  cmp -s "$releases/$1/swarmd.service" $unit || cp "$releases/$1/swarmd.service" $unit.new || return
  for program in swarmd swarmctl; do
    link=/usr/local/bin/$program
    [ "$(readlink "$link" 2>/dev/null)" = "/opt/swarm/current/bin/$program" ] ||
      ln -sfn "/opt/swarm/current/bin/$program" "$link.new" || return
  done
}
use() { # a release, its programs and its service, each from one moment to the next
  stage "$1" || { rm -f $staged; return 1; }
  mv -T /opt/swarm/.current.new /opt/swarm/current || return
  for at in /usr/local/bin/swarmd /usr/local/bin/swarmctl $unit; do
    { [ ! -L "$at.new" ] && [ ! -e "$at.new" ]; } || mv -T "$at.new" "$at" || return
  done
  systemctl daemon-reload && systemctl enable -q swarmd
}
healthy() { # runs, answers, and is connected if it is a member
  end=$(($(date +%s) + $1))
  while :; do
    if [ "$(systemctl is-active swarmd)" = active ] && state=$(timeout 180 swarmctl info --format '{{.State}}/{{.NodeID}}/{{.Connected}}' 2>/dev/null); then
      case $state in locked/*|*//*|*/true|*/True) return 0;; esac
    fi
    [ "$(date +%s)" -lt "$end" ] || return 1
    sleep 0.3
  done
}
started() { # $1 a release, $2 seconds
  use "$1" || return
  timeout "$2" systemctl restart swarmd || :
  healthy "$2"
}

before=$(basename "$(readlink /opt/swarm/current 2>/dev/null || :)")
was_active=$(systemctl is-active swarmd 2>/dev/null || :)
[ -d /var/lib/swarm ] && had_state=yes || had_state=no
[ -e "$releases/$before/swarmd.service" ] || [ -z "$before" ] || cp $unit "$releases/$before/swarmd.service"
if started "$1" "$2"; then
  # the one in use, and two to go back to
  ls -1t $releases | grep -vx "$1" | grep -vx "${before:-$1}" | tail -n +2 | while read -r old; do rm -rf "$releases/${old:?}"; done
  exit 0
fi
# What swarmd itself said, not how often systemd tried; that only when swarmd could not say a word.
lines=$(journalctl -u swarmd -t swarmd -n 8 -o cat --no-pager 2>/dev/null || :)
[ -n "$lines" ] || lines=$(journalctl -u swarmd -n 8 -o cat --no-pager 2>/dev/null || :)
say "release $1 is not healthy after $2 s; its last lines:"
say "$lines"
if [ -n "$before" ] && [ "$before" != "$1" ]; then
  if started "$before" "$2"; then say "went back to $before"; else say "went back to $before, which is not healthy either"; fi
  exit 8
fi
if [ "$was_active" != active ] && [ -z "$before" ]; then
  systemctl disable -q --now swarmd || :
  rm -f $unit /usr/local/bin/swarmd /usr/local/bin/swarmctl /opt/swarm/current
  systemctl daemon-reload || :
  rm -rf "$releases/${1:?}"
  [ $had_state = yes ] || rm -rf /var/lib/swarm
  ! rmdir $releases 2>/dev/null || { rm -f /opt/swarm/.lock; rmdir /opt/swarm 2>/dev/null || :; }
  say 'nothing of it stays'
fi
exit 8
