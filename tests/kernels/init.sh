#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# First process of a guest: the host's files, read-only under a layer on a scratch disk; then the command of waggle.command; then power off.
# In /results, which the host shares for writing, it leaves `status`, the command's exit status, and what /proc/uptime said when it `began` and `ended`.
export PATH=/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
end() {
	echo "waggle: $1"
	sync
	poweroff -f
}
for module in virtio_pci virtio_blk crc32c_generic ext4 9pnet_virtio 9p overlay; do
	modprobe "$module" || echo "waggle: no module $module"
done
mkdir -p /lower /upper /whole /results
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /lower || end "the host's files cannot be mounted"
mount -t ext4 /dev/vda /upper || end "no scratch disk"
mkdir /upper/changes /upper/work /upper/tmp
mount -t overlay -o "lowerdir=/lower,upperdir=/upper/changes,workdir=/upper/work" overlay /whole || end "no overlay"
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 results /results || end "no folder for results"
# What the kernel asks for later (veth, loop, …) is found by busybox's modprobe: in here now, and where the host has its own later.
modules=$(cat /modules-folder)
release=$(uname -r)
rm -rf "/lib/modules/$release"
mkdir -p "/lib/modules/$release" "/whole/lib/modules/$release"
mount --bind "/lower$modules" "/lib/modules/$release"
mount --bind "/lower$modules" "/whole/lib/modules/$release"
cp --remove-destination /bin/busybox /whole/sbin/modprobe
cp --remove-destination /bin/busybox /whole/sbin/busybox-waggle
# Tests of disks look for loop devices, and nobody asks the kernel for the module before.
modprobe loop
mount -t proc proc /whole/proc
mount -t sysfs sys /whole/sys
mount -t devtmpfs dev /whole/dev
mkdir -p /whole/dev/pts /whole/dev/shm
mount -t devpts devpts /whole/dev/pts
mount -t tmpfs shm /whole/dev/shm
mount --bind /upper/tmp /whole/tmp
mount -t tmpfs run /whole/run
chmod 1777 /whole/tmp /whole/dev/shm
mkdir -p /whole/run/lock /whole/run/netns /whole/results
mount --bind /results /whole/results
mount -t cgroup2 cgroup2 /whole/sys/fs/cgroup
# Tests run out of memory in a group of their own.
echo +memory >/whole/sys/fs/cgroup/cgroup.subtree_control || echo "waggle: groups have no memory to limit"
mount -t bpf bpf /whole/sys/fs/bpf
mount -t debugfs debugfs /whole/sys/kernel/debug
hostname guest
ip link set lo up
ulimit -n 65536
cat >/whole/run/waggle-main <<-'EOF'
	cat /proc/uptime >/results/began
	(. /results/environment; cd "$WAGGLE_ROOT" && exec sh /results/command) </dev/null
	status=$?
	cat /proc/uptime >/results/ended
	echo $status >/results/status
	echo "waggle: done"
	sync
	exec busybox-waggle poweroff -f
EOF
# The host's files become the root of all, and not of a chroot below it: programs name files by their path from the root of the mount namespace.
umount /proc /sys
exec switch_root -c /dev/console /whole /bin/sh /run/waggle-main
