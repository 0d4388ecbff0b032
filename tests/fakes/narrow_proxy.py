"""narrow_proxy: a real nginx before a DICOMweb archive, that takes requests up to a size."""

from collections.abc import Callable
from pathlib import Path

from tests.fakes.running import Running, wait_for_port

CONFIG = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr info;
events {{}}
http {{
  access_log off;
  client_max_body_size {bytes_most};
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {to}; }}
  }}
}}
"""


class NarrowProxy:
    """Runs from construction to `close`, before what `url` leads to."""

    def __init__(
        self,
        program: str,
        folder: Path,
        free_port: Callable[[], int],
        url: str,
        *,
        bytes_most: int,
    ) -> None:
        own, port = folder / "narrow-proxy", free_port()
        own.mkdir()
        scheme, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        to = f"{scheme}://{host}"
        text = CONFIG.format(folder=own, port=port, bytes_most=bytes_most, to=to)
        (own / "nginx.conf").write_text(text, encoding="utf-8")
        command = [program, "-p", str(own), "-c", str(own / "nginx.conf"), "-e", "stderr"]
        self.url = f"http://127.0.0.1:{port}/{path}"
        self.running = Running(command, own / "log")
        wait_for_port(self.running, port, is_open=True)

    def refused(self) -> int:
        """Return how many requests were too large for it."""
        return len(self.running.found("client intended to send too large body"))

    def close(self) -> None:
        self.running.kill()
