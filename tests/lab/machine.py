"""machine: a guest without hardware, that ends as a machine ends whose plug is pulled.

Takes      a kernel, perhaps drives, a script and the files it needs
Gives      what the guest prints, as the lines of a `Running`; one port of it on loopback
Holds      nothing: the guest's memory and its writes outside the drive are gone with it

Always emulated: /dev/kvm may open and the guest hang all the same. It is 10 times slower than
this machine, so no figure of speed is worth anything here, and waits are long.

References: man 1 qemu-system-x86_64.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fakes.running import Running
from tests.lab.initrd import initrd
from tests.lab.kernel import Kernel

APPEND = (
    "console=ttyS0 loglevel=4 panic=-1 mitigations=off nokaslr tsc=reliable random.trust_cpu=on"
)
HOST = "10.0.2.2"  #: what the guest calls this machine's loopback


class Machine:
    """One guest; it runs from construction on."""

    def __init__(
        self,
        kernel: Kernel,
        drive: Path | None,
        given: Mapping[str, str],
        folder: Path,
        *,
        port: int = 0,
        guest_port: int = 0,
        others: Sequence[Path] = (),
        modules: Sequence[str] = (),
    ) -> None:
        """`drive` is the socket of an NBD server; `port` of loopback leads to `guest_port`.

        `others` are images of further drives, which remember nothing; `modules` are loaded beside
        the usual ones, "NAME" or "NAME KEY=VALUE". Without a `port` there is no network card.
        """
        (folder / "initrd").write_bytes(initrd(kernel, given, modules))
        self.port = port
        self.says = Running(
            [
                *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"),
                *("-m", "768", "-machine", "q35", "-nodefaults", "-no-user-config"),
                *("-display", "none", "-no-reboot", "-kernel", str(kernel.image)),
                *("-initrd", str(folder / "initrd"), "-append", APPEND),
                *("-device", "virtio-rng-pci", *_output(), *_root()),
                *(_network(port, guest_port) if port else ()),
                *(_served(drive) if drive else ()),
                *(word for one in others for word in _further(one)),
            ],
            folder / "guest.log",
        )

    def cut(self) -> None:
        """Pull the plug (SIGKILL), and return when the machine is dead."""
        self.says.kill()


def _served(address: Path) -> tuple[str, str]:
    return ("-drive", f"if=virtio,driver=nbd,server.type=unix,server.path={address}")


def _further(image: Path) -> tuple[str, str]:
    return ("-drive", f"if=virtio,format=raw,file={image}")


def _output() -> tuple[str, ...]:
    # A file, not stdio: that closes its port at the end of standard input.
    return (
        *("-serial", "file:/dev/stdout", "-device", "virtio-serial-pci"),
        *("-chardev", "file,id=said,path=/dev/stdout"),
        *("-device", "virtserialport,chardev=said,name=said"),
    )


def _root() -> tuple[str, str]:
    facts = "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"
    return ("-virtfs", facts)


def _network(port: int, guest_port: int) -> tuple[str, ...]:
    facts = f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:{guest_port}"
    return ("-netdev", facts, "-device", "virtio-net-pci,netdev=net,romfile=")
