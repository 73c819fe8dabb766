# Boots a systemd of its own, of which the machine around it sees nothing but processes: in namespaces, over this machine's file
# system, with all that is written in memory. Given: an empty folder, the folder of the units, and programs to install.
set -e
folder=$1 units=$2
shift 2
root=$folder/root
mkdir "$folder/memory" "$root"
mount --make-rprivate /
mount -t tmpfs memory "$folder/memory"
mkdir "$folder/memory/upper" "$folder/memory/work"
mount -t overlay root -o "lowerdir=/,upperdir=$folder/memory/upper,workdir=$folder/memory/work" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs sysfs sys
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    # Version 1 for systemd's own hierarchy, version 2 beside it.
    mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
fi
mount -t tmpfs -o mode=755 run run
mount -t tmpfs tmp tmp
mount -t tmpfs -o mode=755 dev dev
mkdir dev/net dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 pts dev/pts
ln -s pts/ptmx dev/ptmx
for node in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0' 'net/tun 10 200'; do
    # shellcheck disable=SC2086 # name, major and minor
    set -- $node "$@"
    mknod -m 666 "dev/$1" c "$2" "$3"
    shift 3
done
mount -t tmpfs shm dev/shm
ln -s /proc/self/fd dev/fd

# Nothing of what this machine starts, and of systemd's own only what needs no hardware.
rm -rf etc/systemd/system
mkdir -p etc/systemd/system etc/sysusers.d etc/tmpfiles.d etc/wiregrant
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    systemd-modules-load.service systemd-random-seed.service systemd-timesyncd.service systemd-journal-flush.service \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount; do
    ln -s /dev/null "etc/systemd/system/$unit"
done
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >etc/systemd/system/booted.target
cp "$units"/*.service etc/systemd/system/
cp "$units"/sysusers.d/*.conf etc/sysusers.d/
cp "$units"/tmpfiles.d/*.conf etc/tmpfiles.d/
install -m 0755 "$@" usr/local/bin/
mkdir before
pivot_root . before
exec env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c \
    'umount -l /before && exec /lib/systemd/systemd --system --unit=booted.target' </dev/null
