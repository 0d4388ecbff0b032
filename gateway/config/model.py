"""The settings: one frozen class a section of gateway.toml, each key with unit and consequence.

Takes      nothing: `gateway.config.load` fills these classes from the file
Gives      typed values; a class, its fields and their rules are the only list of known keys
Holds      nothing

A field is called as its key; only ``from``, a word of Python, is the field `from_`.  A field
without a default must stand in the file.  Sections that may appear several times are tuples, in
the order of the file.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from gateway.config import rules
from gateway.config.conditions import When
from gateway.config.rules import Between

Name = Annotated[str, rules.name]
AeTitle = Annotated[str, rules.ae_title]
Uid = Annotated[str, rules.uid]
Seconds = Annotated[float, Between(0.1, 604_800)]
Days = Annotated[float, Between(0, 36_500)]
Count = Annotated[int, Between(1, 65_535)]
Bytes = Annotated[int, Between(0, 2**62)]
ListenPort = Annotated[int, Between(0, 65_535)]
PeerPort = Annotated[int, Between(1, 65_535)]
Compression = Literal["jpeg2000-lossless", "none", "htj2k-lossless", "jpeg2000"]
Ratio = Annotated[float, Between(1, 1_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """``[gateway]``: who this box is and where it keeps what it acknowledged."""

    name: Name = "gateway"  #: shown everywhere; unique in the fleet
    ae_title: AeTitle = "GATEWAY"  #: what modalities call, and what archives see calling
    state_dir: Path = Path("/var/lib/gateway")  #: queue and images; a local disk that can sync
    language: Literal["", "en", "zh_CN"] = ""  #: what people read; "" follows the environment
    timezone: Annotated[str, rules.timezone] | None = None  #: of times shown; none: the machine's


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """``[[listen]]``: one door on the network; with none, DICOM on 0.0.0.0:11112."""

    kind: Literal["dicom", "dicom-tls", "hl7"] = "dicom"  #: what is spoken there
    address: Annotated[str, rules.host] = "0.0.0.0"  # noqa: S104  #: modalities call from outside
    port: ListenPort = 11112  #: 0 takes any free port and says which in the log
    certificate: Path | None = None  #: dicom-tls: our certificate, PEM
    key: Path | None = None  #: dicom-tls: the file with its private key, PEM
    client_ca: Path | None = None  #: dicom-tls: who signs the callers; none: any caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive:
    """``[receive]``: how modalities are answered."""

    callers: Literal["any", "listed"] = "any"  #: "listed" rejects whom no [[source]] names
    called_ae_title: Literal["any", "own"] = "any"  #: "own" rejects who calls another title
    max_associations: Count = 64  #: more are rejected as transient, the modality tries again
    max_associations_per_address: Count = 8  #: so that one sender cannot shut out the others
    private_transfer_syntaxes: tuple[Uid, ...] = ()  #: accepted besides the standard ones
    max_pdu_bytes: Annotated[int, Between(4_096, 1_048_576)] = 131_072  #: offered to senders
    idle_s: Seconds = 600.0  #: an association silent for so long is aborted
    request_s: Seconds = 30.0  #: a caller must have asked for an association by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """``[[source]]``: what is known of one sender; found by its AE title, its address, or both."""

    name: Name  #: shown instead of the AE title
    ae_title: AeTitle | None = None  #: as it calls
    address: Annotated[str, rules.ip_address] | None = None  #: from where it calls
    priority: Literal["normal", "stat", "backlog"] = "normal"  #: "stat" overtakes, "backlog" waits
    on_conflict: Literal["hold", "keep-first", "send-both-in-order"] = "hold"
    #: same SOP Instance UID, other content: wait for a person, forward only the first, or both


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """``[[watch]]``: a folder from which files are taken; then moved to its taken/ or refused/."""

    name: Name  #: stands in the door, ``folder:NAME``
    path: Path  #: may be a network share
    settle_s: Annotated[float, Between(0, 3_600)] = 2.0  #: taken when unchanged for so long
    polling: Literal["auto", "always", "never"] = "auto"  #: "auto" polls where inotify is silent
    give_up_s: Seconds = 60.0  #: a file incomplete for so long is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """``[[camera]]``: one analogue or digital video input."""

    name: Name  #: stands in the door, ``camera:NAME``
    device: Annotated[str, rules.not_empty]
    #: bus_info of VIDIOC_QUERYCAP, "serial:…", "testcard" or a video file
    object: Literal["endoscopic", "ultrasound", "photographic", "secondary-capture"] = "endoscopic"
    #: which DICOM object its pictures become


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """``[[trigger]]``: one pedal, button or line that asks for a picture."""

    name: Name  #: shown where the press is shown
    kind: Literal["hid", "serial", "rfc2217", "gpio", "key"] = "hid"  #: how it is attached
    does: Literal["", "still", "clip"] = "still"  #: on a press; "" nothing
    long_does: Literal["", "still", "clip"] = ""  #: on a long press
    double_does: Literal["", "still", "clip"] = ""  #: on two presses


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """``[[destination]]``: one archive; dead or slow, it delays no other."""

    name: Name  #: its identity: deliveries carry it, so it is never changed
    label: str = ""  #: shown instead of the name; may change
    kind: Literal["dicom", "dicomweb", "folder"] = "dicom"  #: what is spoken to it
    host: Annotated[str, rules.host] | None = None  #: dicom: where it is
    port: PeerPort | None = None  #: dicom: its port
    ae_title: AeTitle | None = None  #: dicom: its title
    calling_ae_title: AeTitle | None = None  #: dicom: our title there; none: the gateway's
    url: Annotated[str, rules.url] | None = None  #: dicomweb: its base address
    path: Path | None = None  #: folder: where files are put
    volume: Annotated[str, rules.volume] | None = None
    #: folder: the label of the stick that belongs at `path`; another one is left alone
    user: Annotated[str, rules.user] | None = None  #: dicomweb: who we are there (HTTP Basic)
    password_file: Path | None = None  #: dicomweb: a file whose first line is the password
    token_file: Path | None = None  #: dicomweb: a file whose first line is the bearer token
    token_url: Annotated[str, rules.url] | None = None  #: dicomweb: who gives out access tokens
    token_ca: Path | None = None  #: dicomweb: who signs token_url's; none: whom the machine trusts
    client_id: Annotated[str, rules.not_empty] | None = None  #: dicomweb: who we are at token_url
    client_secret_file: Path | None = None  #: dicomweb: a file whose first line is its secret
    scope: str | None = None  #: dicomweb: what the token must allow
    google_key_file: Path | None = None  #: dicomweb: the key of a Google service account, JSON
    aws_region: Annotated[str, rules.not_empty] | None = None  #: dicomweb: signs for this region
    aws_service: Annotated[str, rules.not_empty] = "medical-imaging"  #: and for this service
    aws_credentials_file: Path | None = None  #: dicomweb: a credentials file, profile [default]
    proxy: Annotated[str, rules.proxy] | None = None  #: dicomweb: http://HOST:PORT on the way
    tls: bool = False  #: dicom: encrypted, or not at all; the archive must prove its name
    tls_ca: Path | None = None
    #: who signs the archive's certificate, PEM; nobody else is trusted. None: whom this box trusts
    tls_certificate: Path | None = None  #: ours, PEM, where the archive wants to see one
    tls_key: Path | None = None  #: the file with its private key, PEM, without a password
    tls_server_name: Annotated[str, rules.host] | None = None
    #: the name in the archive's certificate, where it is not the one called
    confirm: Literal["query", "commitment", "readback", "none"] = "query"
    #: what must be seen before an image may be forgotten here; "none": sent is enough
    confirm_after_s: Annotated[float, Between(0, 86_400)] = 5.0  #: asked so long after it was sent
    confirm_within_s: Annotated[float, Between(1, 604_800)] = 21_600.0
    #: commitment: a report not here by then is asked for once more, then the archive is queried
    retrieve: Literal["auto", "get", "move"] = "auto"
    #: dicom: how images are read back; "move": only by C-MOVE, to our own port
    ask_host: Annotated[str, rules.host] | None = None  #: dicom: who answers for it; none: host
    ask_port: PeerPort | None = None  #: dicom: its port for questions; none: port
    ask_ae_title: AeTitle | None = None
    #: dicom: who is queried, gives back and commits; none: ae_title
    default: bool = False  #: takes what no [[route]] matches
    transfer_syntax: Compression | None = None  #: instead of [compress]
    ratio: Ratio | None = None  #: with "jpeg2000"
    connect_s: Seconds = 10.0  #: a connection not open by then counts as unreachable
    answer_s: Seconds = 60.0  #: an archive silent for so long is hung up on, and tried again
    retry_first_s: Seconds = 15.0  #: the first wait after a failure; doubled, with full jitter
    retry_most_s: Seconds = 900.0  #: the longest wait
    probe_most_s: Seconds = 60.0  #: an archive that is away is asked at least so often
    association_idle_s: Annotated[float, Between(0, 3_600)] = 5.0  #: kept open for the next image
    associations: Annotated[int, Between(1, 32)] = 1  #: so many connections send at once
    max_pdu_bytes: Annotated[int, Between(4_096, 1_048_576)] = 131_072
    #: dicom: the largest PDU sent, if the archive takes one as large
    batch_count: Annotated[int, Between(1, 1_000)] = 10  #: dicomweb: most images in one request
    batch_bytes: Annotated[int, Between(1, 2**62)] = 10_000_000
    #: dicomweb: most bytes in one request; a larger image goes alone
    fallback: Name | None = None  #: the destination that gets what waits while this one is away
    fallback_after_s: Annotated[float, Between(1, 604_800)] = 600.0  #: away for so long
    fallback_back: Literal["send-too", "keep-there"] = "send-too"
    #: when it is back: it gets all of that too, or only what the fallback does not have by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """``[[route]]``: what came in by one of these doors, and is such, goes there."""

    from_: tuple[Annotated[str, rules.door], ...] = field(default=(), metadata={"key": "from"})
    #: ``ae:TITLE``, ``folder:NAME``, ``camera:NAME``, "import", or a kind alone; none: every door
    when: When | None = None  #: what must hold of the image; none: every image
    to: tuple[Name, ...]  #: names of [[destination]]
    stop: bool = False  #: what matched here is not looked up in the routes below
    transfer_syntax: Compression | None = None  #: instead of the destination's and [compress]
    ratio: Ratio | None = None  #: with "jpeg2000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compress:
    """``[compress]``: how images are packed for the way to the archive."""

    transfer_syntax: Compression = "jpeg2000-lossless"  #: "none": forwarded as received
    ratio: Ratio | None = None  #: "jpeg2000" loses image content: how much must be said
    workers: Annotated[int, Between(0, 256)] = 0  #: encoders at once; 0: one a free core
    frame_bytes_most: Bytes = 268_435_456  #: a larger frame is forwarded as received
    memory_bytes: Annotated[int, Between(268_435_456, 2**62)] = 2_147_483_648  #: of one encoder
    cpu_s: Annotated[int, Between(1, 86_400)] = 120  #: a frame that takes longer goes as received


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """``[forward]``: when a person is asked instead of the archive."""

    give_up_days: Days = 14.0  #: waiting time until a delivery is held; never deleted
    refusals: Count = 3  #: an image refused so often by one archive is held


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """``[room]``: the free space below which the box warns, then takes no more."""

    reserve_bytes: Bytes = 67_108_864  #: less than this free: C-STORE is refused (A700)
    trim_bytes: Bytes = 1_073_741_824  #: less than this free: what the archive has goes early
    warn_bytes: Bytes = 5_368_709_120  #: less than this free: status warns


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """``[scrub]``: how files are read again, so that a failing disk is known in time."""

    days: Annotated[float, Between(0, 3_650)] = 7.0  #: each file is checked so often
    bytes_per_s: Bytes = 4_000_000  #: the pace; 0: one file every few seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Retain:
    """``[retain]``: how long images stay here after the archive has them."""

    days: Days = 30.0  #: after the last confirmation
    trash_days: Days = 30.0  #: a withdrawn image can be brought back for so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """``[console]``: the web console."""

    address: Annotated[str, rules.host] = "127.0.0.1"  #: other addresses show it on the network
    port: ListenPort = 8080  #: 0 takes any free port


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """``[log]``: what is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"  #: the least that is written


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A whole gateway.toml that was accepted.

    `file` is where it came from; `given` holds the place of every key that stood in it, such as
    ``destination[2].port``: all others are defaults.
    """

    config_version: Literal[1] = 1  #: the form of the file; a later version reads older ones
    gateway: Gateway = Gateway()
    listen: tuple[Listen, ...] = (Listen(),)
    receive: Receive = Receive()
    source: tuple[Source, ...] = ()
    watch: tuple[Watch, ...] = ()
    camera: tuple[Camera, ...] = ()
    trigger: tuple[Trigger, ...] = ()
    destination: tuple[Destination, ...] = ()
    route: tuple[Route, ...] = ()
    compress: Compress = Compress()
    forward: Forward = Forward()
    room: Room = Room()
    scrub: Scrub = Scrub()
    retain: Retain = Retain()
    console: Console = Console()
    log: Log = Log()
    file: Path = field(default=Path("/etc/gateway/gateway.toml"), metadata={"key": None})
    given: frozenset[str] = field(default=frozenset(), metadata={"key": None})
