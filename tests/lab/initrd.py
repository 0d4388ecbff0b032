"""initrd: what the guest's kernel starts with: busybox, modules, and the script of process 1.

References: kernel documentation, driver-api/early-userspace/buffer-format.rst ("newc").
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.lab.kernel import Kernel

#: A root by 9p, two ports for what is printed, a network card, an ext4 drive and FAT sticks.
#: crc32c_generic is a soft dependency: without it ext4 does not mount.
MODULES = (
    *("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "virtio_net", "virtio_blk"),
    *("crc32c_generic", "ext4", "vfat", "nls_cp437", "nls_ascii"),
)

#: The guest's root is this machine's file tree, read only; /run is the guest's own.
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read -r module facts; do insmod /modules/$module.ko $facts; done < /modules/order
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up && route add default gw 10.0.2.2
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /host
mount -t tmpfs run /host/run
mkdir -p /dev/pts /dev/shm
for folder in proc sys dev; do mount --bind /$folder /host/$folder; done
mount -t tmpfs shm /host/dev/shm
cp -r /given /host/run/given
for port in /sys/class/virtio-ports/*; do
    [ "$(cat $port/name)" = said ] && said=/dev/${port##*/}
done
chroot /host /bin/sh /run/given/script >$said 2>&1 </dev/null
echo "guest ended with $?" >$said
sync; poweroff -f
"""

FOLDERS = ("bin", "dev", "proc", "sys", "modules", "host", "given")


def initrd(kernel: Kernel, given: Mapping[str, str], further: Sequence[str] = ()) -> bytes:
    """Return an initrd whose guest finds `given` in /run/given and runs its file `script`.

    `further` are modules that it loads after those of `MODULES`: "NAME" or "NAME KEY=VALUE".
    """
    facts = {name: rest for name, _, rest in (one.partition(" ") for one in further)}
    order = kernel.load_order([*MODULES, *facts])
    files = {
        "init": INIT.encode(),
        "bin/busybox": Path("/bin/busybox").read_bytes(),
        "modules/order": "".join(f"{name} {facts.get(name, '')}\n" for name in order).encode(),
    }
    files |= {f"modules/{name}.ko": kernel.modules[name].read_bytes() for name in order}
    files |= {f"given/{name}": text.encode() for name, text in given.items()}
    folders = [(name, 0o40755, b"") for name in FOLDERS]
    return cpio([*folders, *((name, 0o100755, content) for name, content in files.items())])


def cpio(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """Pack (name, mode, content) as an archive of the form "newc"."""
    out = bytearray()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % one for one in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return bytes(out)
