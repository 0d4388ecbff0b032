"""nginx: a real web server before an archive: it speaks TLS for it, and knows the callers."""

from collections.abc import Callable
from pathlib import Path

from tests.fakes.authority import Signed
from tests.fakes.running import Running, wait_for_port

CONFIG = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr info;
events {{}}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {shown.certificate};
    ssl_certificate_key {shown.key};
    ssl_client_certificate {client_ca};
    ssl_verify_client on;
    location / {{ proxy_pass http://127.0.0.1:{to}; }}
  }}
}}
"""


class Nginx:
    """Runs from construction to `close`; whom `client_ca` did not sign gets no further."""

    def __init__(
        self,
        program: str,
        folder: Path,
        free_port: Callable[[], int],
        to: int,
        shown: Signed,
        client_ca: Path,
    ) -> None:
        self.port, own = free_port(), folder / "nginx"
        own.mkdir()
        given = {"folder": own, "port": self.port, "to": to, "shown": shown, "client_ca": client_ca}
        (own / "nginx.conf").write_text(CONFIG.format(**given), encoding="utf-8")
        command = [program, "-p", str(own), "-c", str(own / "nginx.conf"), "-e", "stderr"]
        self.running = Running(command, own / "log")
        wait_for_port(self.running, self.port, is_open=True)

    def close(self) -> None:
        self.running.kill()
