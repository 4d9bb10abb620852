# Unpack a release: $1 its name, $2 the SHA-256 of the archive, $3 the archive below the home of who uploaded it,
# $4 the Python to run it, $5 its version, $6 that home's user ("": $3 is a path, and stays).
# Nothing of it counts before it is complete; when it fails nothing of it stays.
set -eu
umask 022
trap '' HUP PIPE
PATH=$PATH:/usr/sbin:/sbin
release=/opt/swarm/releases/$1
until # the lock is the file that is there now: who removes swarm, or fails here, removes it too
  mkdir -p /opt/swarm/releases
  exec 9>>/opt/swarm/.lock
  flock -w 600 9 || { echo 'another installation is under way on this machine' >&2; exit 75; }
  [ /proc/self/fd/9 -ef /opt/swarm/.lock ]
do :; done
archive=$3
[ -z "$6" ] || archive=$(getent passwd "$6" | cut -d: -f6)/$3
new=
tidy() {
  [ -z "$new" ] || rm -rf "$new"
  [ -e "$release/.complete" ] || rm -rf "$release"
  [ -z "$6" ] || { rm -f "$archive"; rmdir "${archive%/*}" 2>/dev/null || :; }
  ! rmdir /opt/swarm/releases 2>/dev/null || { rm -f /opt/swarm/.lock; rmdir /opt/swarm 2>/dev/null || :; }
}
trap 'tidy "$@"' EXIT
[ ! -e "$release/.complete" ] || exit 0
rm -rf "$release" /opt/swarm/.new.*
new=$(mktemp -d /opt/swarm/.new.XXXXXX)
# A copy that only root can change, before anybody trusts its digest.
cp "$archive" "$new/archive"
[ "$(sha256sum <"$new/archive" | cut -c1-64)" = "$2" ] || {
  echo 'the upload was damaged on its way; it is removed, try again' >&2
  exit 76
}
mkdir "$new/tree" "$new/tree/bin"
tar -xzf "$new/archive" -C "$new/tree" --no-same-owner
rm -f "$new/archive"
ln -s "$4" "$new/tree/bin/python"
printf 'home = %s\ninclude-system-site-packages = false\n' "$(dirname "$4")" >"$new/tree/pyvenv.cfg"
for pair in swarmd:swarm.daemon swarmctl:swarm.cli.main; do
  program=$new/tree/bin/${pair%%:*}
  printf '#!%s/bin/python -I\nimport sys\n\nfrom %s import main\n\nsys.exit(main())\n' "$release" "${pair##*:}" >"$program"
  chmod 755 "$program"
done
cp "$new/tree/lib/python$5/site-packages/swarm/machine/swarmd.service" "$new/tree/swarmd.service"
chmod 755 "$new/tree"
mv "$new/tree" "$release"
# Runs all that was compiled for some machine on this one, and leaves the daemon less to do when it starts.
"$release/bin/python" -I -c 'import swarm.cli.main, swarm.node.node, swarm.manager.main, swarm.agent.main' >&2 || {
  echo "this release does not run with $4" >&2
  exit 77
}
sync
: >"$release/.complete"
if command -v restorecon >/dev/null 2>&1; then restorecon -R "$release" || :; fi
