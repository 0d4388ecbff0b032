"""authority: who signs certificates in the tests, made by the openssl program (man 1 openssl)."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

CONFIG = """\
[ca]
default_ca = this
[this]
database = {folder}/index.txt
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
rand_serial = yes
[any]
commonName = supplied
[leaf]
basicConstraints = critical,CA:false
{names}
[root]
basicConstraints = critical,CA:true
[req]
distinguished_name = any_name
[any_name]
"""


@dataclass(frozen=True)
class Signed:
    """A certificate and its private key, PEM."""

    certificate: Path
    key: Path


class Authority:
    """One root, in a folder of its own."""

    def __init__(self, openssl: str, folder: Path, name: str = "root") -> None:
        self._openssl, self._folder = openssl, folder / f"ca-{name}"
        self._folder.mkdir()
        (self._folder / "index.txt").touch()
        self.certificate, self._key = self._folder / "ca.pem", self._folder / "ca.key"
        self._new_key(self._key)
        options = ["-subj", f"/CN={name}", "-days", "3650", "-extensions", "root"]
        self._run("req", "-x509", "-key", self._key, "-out", self.certificate, *options)

    def sign(
        self,
        name: str,
        *,
        hosts: Sequence[str] = ("IP:127.0.0.1", "DNS:localhost"),
        begins_days: float = -1,
        ends_days: float = 365,
        rsa_bits: int = 0,
    ) -> Signed:
        """Return a certificate that is good between two days from now; `hosts` may be none."""
        made = Signed(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        self._new_key(made.key, rsa_bits)
        asked, names = self._folder / f"{name}.csr", f"subjectAltName = {','.join(hosts)}"
        self._run("req", "-new", "-key", made.key, "-subj", f"/CN={name}", "-out", asked)
        config = self._config(names if hosts else "")
        days = ["-startdate", _stamp(begins_days), "-enddate", _stamp(ends_days)]
        signer = ["-cert", self.certificate, "-keyfile", self._key, "-extensions", "leaf"]
        out = ["-in", asked, "-out", made.certificate, "-notext", "-batch"]
        self._run("ca", *signer, *days, *out, config=config)
        return made

    def _new_key(self, path: Path, rsa_bits: int = 0) -> None:
        kind = ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        if rsa_bits:
            kind = ["RSA", "-pkeyopt", f"rsa_keygen_bits:{rsa_bits}"]
        self._command("genpkey", "-algorithm", *kind, "-out", path)

    def _config(self, names: str = "") -> Path:
        path = self._folder / "openssl.cnf"
        path.write_text(CONFIG.format(folder=self._folder, names=names), encoding="utf-8")
        return path

    def _run(self, verb: str, *arguments: str | Path, config: Path | None = None) -> None:
        self._command(verb, "-config", config or self._config(), *arguments)

    def _command(self, *arguments: str | Path) -> None:
        command = [self._openssl, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def _stamp(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")
