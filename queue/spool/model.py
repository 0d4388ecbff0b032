"""The words of the spool: states, and the rows as the stages see them."""

import enum
from dataclasses import dataclass, field
from pathlib import Path


class InstanceState(enum.StrEnum):
    RECEIVED = "received"  #: durable here; prepare has not decided yet
    READY = "ready"  #: decided: its renditions and deliveries exist
    RETIRED = "retired"  #: delivered as firmly as asked; the bytes may be gone, the hash stays
    HELD = "held"  #: waits for a person; `reason` says for what
    WITHDRAWN = "withdrawn"  #: a person took it back; in the trash for its days
    MERGED = "merged"  #: a re-send that added nothing; `detail` names the instance kept


class DeliveryState(enum.StrEnum):
    QUEUED = "queued"  #: may be sent once `not_before` has passed
    SENT = "sent"  #: the archive answered success; not yet safe to forget
    CONFIRMED = "confirmed"  #: the archive has it: committed, found or read back
    HELD = "held"  #: waits for a person; the last error says for what
    CANCELLED = "cancelled"  #: a person does not want it there
    SUPERSEDED = "superseded"  #: the archive did not have it when asked; a later round sends it


class Role(enum.StrEnum):
    RECEIVED = "received"  #: the bytes as they came; never overwritten
    COMPRESSED = "compressed"  #: JPEG 2000, proved equal to what came
    FALLBACK = "fallback"  #: re-encoded for an archive that refuses the others, proved
    CORRECTED = "corrected"  #: other patient or study, by a person's decision
    DEIDENTIFIED = "deidentified"  #: under a new UID
    LOSSY = "lossy"  #: JPEG 2000 with loss, under a new UID
    HTJ2K = "htj2k"  #: High-Throughput JPEG 2000, proved equal to what came


#: Error codes of what waits for a person: one who said so, and one who must look, since what was
#: decided about it cannot be read any more.
OPERATOR, UNREADABLE = "operator", "decision-unreadable"


class Priority(enum.IntEnum):
    """Lower goes first; an index seeks one after the other."""

    STAT = 0
    NORMAL = 5
    BACKLOG = 9


class Behind(enum.IntEnum):
    """For what a delivery waits that an earlier instance of the same UID has at its destination."""

    NOTHING = 0
    QUEUED = 1  #: for what is still to be sent
    HELD = 2  #: also for what waits for a person


@dataclass(frozen=True, slots=True)
class Arrival:
    """Who brought an object, and what the carrier said it is."""

    sop_class_uid: str  #: (0008,0016), from the command or the file meta
    sop_instance_uid: str  #: (0008,0018)
    transfer_syntax_uid: str  #: (0002,0010)
    door: str  #: `ae:US1`, `folder:export`, `import`
    peer_address: str = ""
    station: str = ""
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class Blob:
    """A durable Part 10 file of ours, and where its data set lies."""

    name: str  #: below `spool/blobs`: day / name
    path: Path
    dataset_offset: int
    dataset_bytes: int
    sha256: str  #: of the data set's bytes, hexadecimal


@dataclass(frozen=True, slots=True)
class Rendition:
    """One set of bytes of an instance; `id` is 0 until its row is written."""

    role: Role
    sop_instance_uid: str  #: its own: what we make lossy gets another
    sop_class_uid: str
    transfer_syntax_uid: str
    blob: Blob
    made_from: int = 0  #: rendition id, 0 for what was received
    recipe: str = ""  #: what made it, for the history
    proved: bool = False  #: decoded and compared with what it was made from
    id: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """Digests of what a data set says in whatever encoding; hexadecimal, made above the spool."""

    pixels: str  #: "" where there are none
    identity: str  #: whose it is: patient and study
    rest: str  #: all the others


@dataclass(frozen=True, slots=True)
class Earlier:
    """An instance that came before under the same SOP Instance UID."""

    id: int
    state: str
    sha256: str  #: of the data set as it came
    transfer_syntax_uid: str
    content: Content | None  #: None: not known, or not decided yet
    has_files: bool  #: False: only its hashes are left


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance under a claim."""

    id: int
    arrival: Arrival
    received_at: float  #: UTC, seconds since 1970
    attempts: int  #: claims so far, this one included
    waived: frozenset[str]  #: reasons for holding that a person has set aside
    received: Rendition
    lease: str = ""
    kept: tuple[Rendition, ...] = ()  #: whose files have not been dropped, in order
    content: Content | None = None  #: of what was received, once it is known

    @property
    def at_hand(self) -> Rendition:
        """The bytes to work from: what was received or, once that was dropped, what equals it."""
        equal = (Role.RECEIVED, Role.COMPRESSED, Role.FALLBACK)
        return next((one for one in self.kept if one.proved and one.role in equal), self.received)

    @property
    def compressed(self) -> Rendition | None:
        """The proved compressed rendition that it has already; None where it has none."""
        made = (one for one in self.kept if one.proved and one.role is Role.COMPRESSED)
        return next(made, None)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery under a claim: one rendition, frozen, for one destination."""

    id: int
    instance_id: int
    destination: str
    round: int
    attempts: int  #: claims so far, this one included
    refusals: int  #: how often the archive refused this very object
    rendition: Rendition
    lease: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery that the archive took, under a claim: it is asked whether it has it."""

    delivery_id: int
    instance_id: int
    destination: str
    round: int
    rendition: Rendition
    study_instance_uid: str  #: (0020,000D)
    series_instance_uid: str  #: (0020,000E)
    sent_at: float  #: UTC seconds
    checks: int  #: claims for a check so far, this one included
    lease: str
    #: False: other bytes under this SOP Instance UID were handed to the destination too, so that a
    #: query or a commitment cannot tell which of them it keeps.
    first_of_uid: bool
    silent: int = 0  #: transactions of storage commitment about it that brought no report in time
    #: What each time that it was handed over there was answered beside success, in all rounds, the
    #: oldest first; None where it came to no success.
    answers: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Transaction:
    """A storage commitment transaction (PS3.4 annex J) whose report is overdue."""

    uid: str  #: (0008,1195)
    destination: str
    asked: int  #: such transactions about one of its objects, this one included, the most


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an archive reported of one object, not acted on yet; `sent` is under a claim."""

    transaction_uid: str
    item_id: int
    sent: Sent
    failure: int | None  #: (0008,1197) Failure Reason; None: it commits to keep the object


@dataclass(frozen=True, slots=True)
class CameBack:
    """An object that was asked for by C-MOVE, in a scratch file that its taker removes."""

    path: Path
    dataset_offset: int
    dataset_bytes: int
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Decision:
    """All that prepare puts down about one instance, in one transaction."""

    study_instance_uid: str  #: (0020,000D)
    series_instance_uid: str  #: (0020,000E)
    station: str = ""
    renditions: tuple[Rendition, ...] = ()  #: beside the received one; id 0: it gets its row now
    #: (destination, index in `renditions` of the one to send; -1 the received one)
    deliveries: tuple[tuple[str, int], ...] = ()
    content: Content | None = None  #: of what was received, where anything is known of the inside
    behind: Behind = Behind.NOTHING
    cancelled: str = ""  #: error code of deliveries that are not to be sent; "": they are
    notes: tuple[tuple[str, str], ...] = field(default=())  #: (what, detail) for the history
