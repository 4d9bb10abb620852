# Use release $1 from now on; go back to the one before when it is not healthy within $2 s, or dies within the $3 s
# after that. Exit 8: went back.
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
shown() { systemctl show -p "$1" --value swarmd; }
given_up() { # systemd does not run it, and will not try again: it is no matter of patience
  case " $(systemctl show -p LoadState -p ActiveState -p Job swarmd | tr '\n' ' ')" in
    *' Job='[1-9]*) return 1;;
    *' ActiveState=inactive '*|*' ActiveState=failed '*) return 0;;
    *' LoadState=loaded '*|' ') return 1;;
  esac
}
healthy() { # runs, answers, and is connected if it is a member
  end=$(($(date +%s) + $1))
  while :; do
    run=$(shown InvocationID)
    if [ "$(systemctl is-active swarmd)" = active ] && state=$(timeout 180 swarmctl info --format '{{.State}}/{{.NodeID}}/{{.Connected}}' 2>/dev/null); then
      case $state in locked/*|*//*|*/true|*/True) return 0;; esac
    fi
    ! given_up || { why='has ended, and systemd does not start it again'; return 1; }
    [ "$(date +%s)" -lt "$end" ] || { why="is not healthy after $1 s"; return 1; }
    sleep 0.3
  done
}
spares() { # a restart now ends the daemon alone: systemd stops what runs by the unit that it has just read, drop-ins too
  [ "$(shown LoadState)" = loaded ] || return 0 # and nothing by one that it cannot read
  kills=$(shown KillMode)
  case $kills in process|none) ;; *) why="would end all containers: its service has KillMode=$kills, not process"; return 1;; esac
}
started() { # $1 a release, $2 seconds; `why` says why not
  use "$1" || { why='cannot be used'; return 1; }
  spares || return
  ran=$(shown InvocationID)
  said=$(timeout "$2" systemctl restart swarmd 2>&1) && code=0 || code=$?
  case $code in
    0|124) ;; # it runs, or starts still
    *) # What ran before runs on when systemd does not even try, and would seem to be healthy.
      if given_up || { [ -n "$ran" ] && [ "$(shown InvocationID)" = "$ran" ]; }; then
        why="is not run by systemd: $(printf '%s\n' "$said" | head -n 1)"
        return 1
      fi ;;
  esac
  healthy "$2"
}
lasts() { # $1 seconds: the run that was healthy goes on
  end=$(($(date +%s) + $1))
  while [ "$(date +%s)" -lt "$end" ]; do
    now=$(shown InvocationID) # none while systemd does not answer
    { [ "${now:-$run}" = "${run:-$now}" ] && ! given_up; } || { why='was healthy, and died soon after'; return 1; }
    sleep 1
  done
}

began=$(date +%s)
before=$(basename "$(readlink /opt/swarm/current 2>/dev/null || :)")
daemon=$(shown MainPID || :)
was_active=$(systemctl is-active swarmd 2>/dev/null || :)
[ -d /var/lib/swarm ] && had_state=yes || had_state=no
[ -e "$releases/$before/swarmd.service" ] || [ -z "$before" ] || cp $unit "$releases/$before/swarmd.service"
[ -n "$before" ] && [ "$before" != "$1" ] && watched=$3 || watched=0 # only if there is another one to go back to
if started "$1" "$2" && lasts "$watched"; then
  # the one in use, and two to go back to
  ls -1t $releases | grep -vx "$1" | grep -vx "${before:-$1}" | tail -n +2 | while read -r old; do rm -rf "$releases/${old:?}"; done
  exit 0
fi
# What swarmd itself said, not how often systemd tried; that only when swarmd could not say a word.
last_lines() { # nor what the daemon of before says when it stops
  journalctl -u swarmd "$@" -n 16 -q -o short --no-pager --since "@$began" 2>/dev/null |
    grep -v "\[$daemon\]: " | tail -n 8 | sed 's/^[^]]*\]: //'
}
case $why in *' by systemd: '*) lines=$(last_lines -t systemd);; *) lines=$(last_lines -t swarmd);; esac
[ -n "$lines" ] || lines=$(last_lines)
# As much as is told besides what comes before and after.
[ ${#lines} -le 360 ] || lines="… $(printf %s "$lines" | tail -c 360)"
say "release $1 $why${lines:+; its last lines:
$lines}"
if [ -n "$before" ] && [ "$before" != "$1" ]; then
  if started "$before" "$2"; then say "went back to $before"; else say "went back to $before, which $why, too"; fi
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
