# Makes a root of its own for the program at the end of its arguments, then becomes that program.
#   sh -c SCRIPT sh MOUNTPOINT { KIND FROM TO }... -- DIRECTORY PROGRAM [ARGUMENT]...
# Runs in new mount, network and process namespaces. KIND: up (network device FROM), link (FROM is where it points), text (FROM is
# the content of the file), self (what /proc says of this process), tree (of the host with what is mounted below it,
# read-only), own (of the instance, writable), empty (a directory that hides the host's), directory (to pass through).
set -e
umask 022
# Everything mounted at or below $1, read-only. A mount's other flags must be named again in a user namespace.
read_only() {
    sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g' /proc/self/mountinfo | while read -r _ _ _ _ place flags _; do
        case $place in *\\*) place=$(printf %b "$place") ;; esac
        case $place in
        "$1" | "$1"/*) mount -o "remount,bind,$flags,ro,nosuid" "$place" ;;
        esac
    done
}
view=$1
shift
mount -t tmpfs -o mode=0755,size=4m,nosuid,nodev sandbox "$view"
while [ "$1" != -- ]; do
    kind=$1 from=$2 to=$view$3
    shift 3
    case $kind in
    up) ip link set "$from" up ;;
    link) ln -s "$from" "$to" ;;
    empty) mkdir -p "$to" && mount -t tmpfs -o mode=0755,size=1m,nosuid,nodev empty "$to" ;;
    directory) mkdir -p "$to" ;;
    self)
        # Our number in the host's `/proc`, which is not the one that we have in a namespace of our own.
        read -r pid _ </proc/self/stat
        mkdir -p "$to" && mount --bind "/proc/$pid" "$to"
        ;;
    text) mkdir -p "${to%/*}" && printf '%s' "$from" >"$to" ;;
    tree | own)
        if [ -d "$from" ]; then
            mkdir -p "$to"
        else
            mkdir -p "${to%/*}" && : >"$to"
        fi
        if [ "$kind" = own ]; then
            mount --bind "$from" "$to"
        else
            mount --rbind "$from" "$to"
            read_only "$to"
        fi
        ;;
    esac
done
directory=$2
shift 2
mkdir "$view/.host"
pivot_root "$view" "$view/.host"
cd /
# `umount` reads what /proc says of it.
if [ -e /proc ]; then
    umount --lazy /.host
else
    ln -s .host/proc /proc
    umount --lazy /.host
    rm /proc
fi
rmdir /.host
mount -o remount,bind,ro,nosuid,nodev /
cd "$directory"
umask 077
# Whatever else was open is of the host. Standard input, output and errors are ours.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
exec "$@"
