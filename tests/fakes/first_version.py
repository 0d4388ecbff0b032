"""first_version: the first program, as it was, on a state folder that it made itself.

Takes      `tests/released/1`: its source, and what fills its schema with items in every state
Gives      state folders of the first schema; a `Gateway` that runs the first program
"""

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.appliance import Gateway, Section
from tests.fakes.objects import small

RELEASED = Path(__file__).parents[1] / "released" / "1"
#: What `fill.py` puts each item's UID in the place of.
PLACE = "2.25." + "0" * 30


class FirstVersion:
    """The first program, unpacked into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with tarfile.open(RELEASED / "program.tar.gz") as packed:
            packed.extractall(folder / "program")  # noqa: S202  # we packed it ourselves
        roots = [str(folder / "program"), str(folder / "program" / "queue")]
        # Without the safe path the current folder, and ours in it, would come first.
        self.environment = {
            "PYTHONPATH": os.pathsep.join(roots),
            "PYTHONSAFEPATH": "1",
            "LANGUAGE": "en",
        }

    def fill(self, state_dir: Path, count: int) -> None:
        """Make a state folder with `count` turns of `fill.py`."""
        data_set = self._folder / "data_set"
        data_set.write_bytes(small(PLACE))
        command = [sys.executable, str(RELEASED / "fill.py"), str(state_dir), str(data_set)]
        subprocess.run([*command, str(count)], env=os.environ | self.environment, check=True)

    def gateway(self, folder: Path, **sections: Section | Sequence[Section]) -> Gateway:
        """Return the first program, configured for the state folder in `folder`."""
        one = Gateway(folder, **sections)
        one.environment = self.environment
        return one
