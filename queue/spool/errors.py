"""What is done about a failure, as exceptions; tools below the spool raise their own.

Exception
├── Defer      may succeed later: try again, the item stays where it is
├── Hold       a person must look: the item waits with its reason
├── LostClaim  another has the item now, or it moved: drop the result
├── SpoolFull  refuse new objects, keep and deliver the old ones
├── Damaged    a file is not what was written: hold what it belongs to, never send it
└── FolderBusy another process has this state folder or this stage
"""


class Defer(Exception):
    """The item may succeed later; `code` is stable, `detail` technical and without patient data."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


class Hold(Exception):
    """A person must look at the item; `code` is stable, `detail` without patient data."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


class LostClaim(Exception):
    """The item is no longer where the claim found it: the result of the work is dropped."""


class SpoolFull(Exception):
    """There is no room for another object. What is kept stays kept and goes on being delivered."""


class Damaged(Exception):
    """A blob is not what was written; `args[0]` says which part of it."""


class FolderBusy(Exception):
    """Another process holds the lock; `args[0]` says which."""
