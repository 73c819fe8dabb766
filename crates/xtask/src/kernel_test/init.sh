#!/bin/busybox sh
# The first process of the emulated machine: loads the modules, runs the test, says how it ended, and goes.
# busybox's shell runs its own applets before anything in PATH; what must be the real program is called by its path.
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t tmpfs tmpfs /run
/bin/busybox mount -t tmpfs tmpfs /tmp
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/tmp TMPDIR=/tmp WIREGRANT_KERNEL_WIREGUARD=1

while read -r module; do
    /bin/busybox insmod "/modules/$module" || echo "module $module cannot be loaded"
done </modules/order
/usr/bin/ip link set lo up

echo "$(/bin/busybox uname -r) is up"
cd /tmp
# shellcheck disable=SC2086 # no argument when there is none
/kernel-test $ARGUMENT
echo "wiregrant-kernel-test: exit status $?"
/bin/busybox reboot -f
