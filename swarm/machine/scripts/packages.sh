# Install packages of the distribution: $1 its package manager, then their names. It goes on without whoever asked:
# a package manager that is ended half-way leaves work for people.
set -u
trap '' HUP
export DEBIAN_FRONTEND=noninteractive ZYPP_LOCK_TIMEOUT=120
PATH=$PATH:/usr/sbin:/sbin
manager=$1
shift
exec 9>>/run/swarm-packages.lock
flock -w 500 9 || { echo 'packages are being installed on this machine' >&2; exit 75; }
log=$(mktemp) || exit
trap 'rm -f "$log"' EXIT
apt() { apt-get -o DPkg::Lock::Timeout=120 -qq -y --no-install-recommends install "$@"; }
install() {
  case $manager in
    apt-get) apt "$@" || { dpkg --configure -a; apt-get -qq update && apt "$@"; } ;;
    dnf) dnf -q -y install "$@" ;;
    zypper) zypper -q -n install "$@" ;;
    pacman) pacman -Sy --noconfirm --needed "$@" ;;
    *) echo "nobody knows how $manager installs packages"; return 1 ;;
  esac
}
# Into a file, as services that packages start would hold a lost connection's output, or die of it.
install "$@" >"$log" 2>&1 </dev/null 9>&- || { code=$?; tail -n 6 "$log" >&2; exit $code; }
