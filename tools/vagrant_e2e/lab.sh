#!/bin/bash
# A libvirt of its own, then $2…: runs in namespaces for network, processes and mounts. $1: folder for its files.
set -eu
folder=$1
shift
ip link set lo up
mount --make-rprivate /
# libvirt looks for cgroups and finds those of the machine, where it may not start anything.
umount -l -R /sys/fs/cgroup 2>/dev/null || :
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/libvirt /run/lock "$folder"/{lib,cache,etc}
cp -a /etc/libvirt/. "$folder/etc/"
cat >>"$folder/etc/qemu.conf" <<'CONF'
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
CONF
for pair in lib:/var/lib/libvirt cache:/var/cache/libvirt etc:/etc/libvirt; do
  mkdir -p "${pair#*:}"
  mount --bind "$folder/${pair%%:*}" "${pair#*:}"
done
mkdir -p /var/lib/libvirt/{images,qemu}
if [ "${WITHOUT_KVM:-}" = yes ] && [ -e /dev/kvm ]; then
  # One that is there and does not work would be tried at every call.
  install -m 600 /dev/null "$folder/nokvm"
  mount --bind "$folder/nokvm" /dev/kvm
fi
virtlogd -d
libvirtd -d
for _ in $(seq 300); do
  [ -S /run/libvirt/libvirt-sock ] && break
  sleep 0.1
done
exec "$@"
