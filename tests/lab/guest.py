"""guest: one boot for many tests: a program in the guest says what it saw, the tests judge it.

Takes      the name of a driver beside this file, and the modules it needs
Gives      each line of JSON that it printed, by its `stage`
Holds      nothing: the guest is dead when they are given
"""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab.kernel import Kernel
from tests.lab.machine import Machine

RUN_S = 240.0  #: longest time from power on to the driver's end
SCRIPT = """cd /run
export PATH={path}:/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run HOME=/run
export PYTHONPATH={product}:{root} PYTHONDONTWRITEBYTECODE=1
exec {python} {root}/tests/lab/{driver}
"""

Stages = dict[str, dict[str, Any]]


def stages(
    kernel: Kernel, product: Path, root: Path, folder: Path, driver: str, modules: Sequence[str]
) -> Stages:
    """Boot, run `driver` to its end, and return what it said, stage by stage."""
    python = Path(sys.executable)
    words = {"path": python.parent, "product": product, "root": root, "python": python}
    quoted = {name: shlex.quote(str(one)) for name, one in words.items()}
    script = SCRIPT.format(driver=driver, **quoted)
    machine = Machine(kernel, None, {"script": script}, folder, modules=modules)
    try:
        machine.says.wait_for("guest ended", within_s=RUN_S)
        said = list(machine.says.lines)
    finally:
        machine.cut()
    assert "guest ended with 0" in said, "\n".join(said)[-4000:]
    found = [json.loads(line) for line in said if line.startswith('{"stage"')]
    for one in found:
        print(json.dumps(one))
    return {one["stage"]: one for one in found}
