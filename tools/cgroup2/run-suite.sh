#!/bin/sh
# Inside the guest: unpack the project from the second disk, run what it asks for, leave the result on the
# third disk, and switch off. Started by swarm-guest.service.
out=/run/swarm-result
mkdir -p "$out" /opt/swarm
tar -xf /dev/vdb -C /opt/swarm
# Programs that the tests start have to find the project as well, wherever they stand.
printf '%s\n' /opt/swarm/site-packages /opt/swarm/tree >"$(echo /usr/local/lib/python3.*/dist-packages)/swarm.pth"
cd /opt/swarm/tree || exit 1
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CI=true
{
	uname -sr
	grep cgroup /proc/self/mountinfo
	echo "cgroup $(cat /proc/self/cgroup), controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
	echo "AppArmor $(cat /sys/module/apparmor/parameters/enabled)"
	{ sh /opt/swarm/command 2>&1; echo $? >"$out/code"; } | tee "$out/log"
} >/dev/ttyS0 2>&1
tar -cf /dev/vdc -C "$out" code log
sync
systemctl poweroff --force
