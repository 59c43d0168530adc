#!/bin/bash
# Run a script as root on a copy of this machine: what it writes goes to memory, and it has a network of its own.
# Usage: unshare --mount --net --uts --pid --fork --kill-child sandbox.sh FOLDER SITE-PACKAGES SCRIPT
set -e
folder=$1 packages=$2 script=$3
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
root=$folder/root
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/srv/packages" "$root/srv/source" "$root/srv/sandbox"
mount --bind "$packages" "$root/srv/packages"
cp -a "$script/." "$root/srv/sandbox"
hostname mail.example.org
ip link set lo up
exec chroot "$root" /bin/bash /srv/sandbox/run
