"""Every stable code that a person meets, with what happened and what to do next.

Takes      a code of the spool, the codec, the network or a verb, and technical values
Gives      one or two sentences in the chosen language
Holds      nothing; a code never changes once released, its sentences may

Settings that are refused bring their own sentences (`gateway.config.problems`), as does a data
set that contradicts itself.
"""

from gateway.language import N_, _
from gateway.reasons_confirm import CONFIRM
from gateway.reasons_medium import MEDIUM, ON_MEDIUM
from gateway.reasons_tls import CALLER, TLS
from gateway.reasons_web import LOGIN, WEB

_NOTHING = N_("Nothing needs to be done.")
_TRIES_AGAIN = N_("It is tried again by itself; nothing is lost.")
_SEND_AGAIN = N_("Send the image again from the modality; if that does not help, ask its vendor.")
_EXPORT_AGAIN = N_("Remove it, or export it again as DICOM.")

#: why an instance or a delivery is held, or was left out: (what happened, next step)
HELD = {
    "structure": (N_("The data set is not sound: its lengths do not add up."), _SEND_AGAIN),
    "uid-mismatch": (
        N_("The SOP Instance UID or SOP class sent does not match the data set."),
        N_("Check with the modality's vendor which is right before you release the image."),
    ),
    "no-sop-instance-uid": (
        N_("The image has no SOP Instance UID, so no archive can keep it."),
        _SEND_AGAIN,
    ),
    "bad-uid": (
        N_("A UID of the image is not formed as the standard demands."),
        N_("Ask the modality's vendor; release the image if your archive accepts it as it is."),
    ),
    "conflict": (
        N_("Another image with the same SOP Instance UID, but other content, came before."),
        N_("Compare both with 'gateway queue show': release the right one, withdraw the other."),
    ),
    "correction": (
        N_("The same image came before, of another patient or study."),
        N_("Compare both with 'gateway queue show'; release this one if it is the right one."),
    ),
    "withdrawn-before": (
        N_("The same image came before, and a person withdrew it."),
        N_("Release this one if it is to be sent after all, else withdraw it as well."),
    ),
    "waits-for-earlier": (
        N_("An earlier image with the same SOP Instance UID goes first."),
        N_("Release or withdraw the earlier one if it is held; then this one goes by itself."),
    ),
    "kept-first": (
        N_("Of two images with one SOP Instance UID the first is sent; this one is kept here."),
        N_("Compare both with 'gateway queue show'; resend this one if it is the right one."),
    ),
    "no-route": (
        N_("No route matches this image."),
        N_("Add a [[route]], or say default = true at a destination, then retry the image."),
    ),
    "no-destination": (
        N_("The configuration has no destination, so this image stays here."),
        N_("Add a [[destination]], then retry the image."),
    ),
    "route-unclear": (
        N_("A route asks for what cannot be read of this image."),
        N_("Add a route by door or SOP class and retry it; released, such routes do not match."),
    ),
    "damaged": (
        N_("The stored file no longer matches its checksum."),
        N_("Send the image again from the modality, and have the disk checked."),
    ),
    "unproved": (
        N_("After the database was lost nobody can tell whether the archive got this image."),
        N_("Look for it in the archive: cancel it if it is there, else have it sent again."),
    ),
    "crashed": (
        N_("Preparing this image ended the program several times."),
        N_("Release the image to forward it as received, and report the fault."),
    ),
    "unexpected": (
        N_("The program met an error that it does not know."),
        N_("Retry the image; if that does not help, report the fault with its log line."),
    ),
    "operator": (
        N_("A person has put this on hold."),
        N_("Release it with 'gateway queue release' when it may go on."),
    ),
    "decision-unreadable": (
        N_("What a person decided about this image cannot be read any more: its file is damaged."),
        N_("See 'gateway queue show' and those who know: release it, cancel or withdraw it."),
    ),
    "moved": (
        N_("A person has moved what waited for this destination to another one."),
        N_("Nothing needs to be done."),
    ),
    "forgotten": (
        N_("A person has cancelled what waited for this destination, which was removed."),
        N_("Offer it to another one with 'gateway destination offer' if it is to be sent."),
    ),
    "stays-there": (
        N_("While this destination was away, its fallback took the image."),
        N_("Resend it to this destination if it is to have it as well."),
    ),
    "refused-by-archive": (
        N_("The archive has refused this image several times."),
        N_("Look up its last answer with 'gateway queue show', settle it with the archive, retry."),
    ),
    "no-syntax-in-common": (
        N_("The archive accepts no transfer syntax in which this image can be sent."),
        N_("Have the archive accept the image's SOP class and transfer syntax, then retry."),
    ),
    "gave-up": (
        N_("The archive could not be reached for as long as forward.give_up_days allows."),
        N_("Make the archive reachable, check it with 'gateway echo', then retry."),
    ),
    "keeps-vanishing": (
        N_("The archive took this image several times, and did not have it afterwards."),
        N_("Have the archive's operator find out why; then retry it, or cancel it."),
    ),
    "altered-there": (
        N_("What the archive gave back is not the image that was sent."),
        N_("Compare both with the archive's operator; retry the image, or cancel it there."),
    ),
    "other-identity-there": (
        N_("The archive keeps this image under another patient, study, series or UID."),
        N_("Settle with the archive's operator whose image it is; then retry it, or cancel it."),
    ),
    "commitment-0119": (
        N_("The archive has another kind of object under this SOP Instance UID."),
        N_("Settle with the archive's operator which is right; then retry the image."),
    ),
    "destination-removed": (
        N_("The configuration no longer has this destination."),
        N_("Put it back under the same name, or say what becomes of it: 'gateway destination'."),
    ),
    "sent-again": (N_("The modality has sent the same image again; it is kept once."), _NOTHING),
}

#: why the last try to deliver failed
DELIVERY = {
    "unreachable": (
        N_("There is no way to the archive through the network."),
        N_("Check the cable, the address and the routers between here and the archive."),
    ),
    "unknown-host": (
        N_("The archive's host name has no address."),
        N_("Check the destination's host and the name server."),
    ),
    "connection-refused": (
        N_("The archive's computer answers, but nothing listens on the port."),
        N_("Check that the archive runs and that the destination's port is right."),
    ),
    "connect-timeout": (
        N_("The archive did not take the connection in time."),
        N_("Check that its computer is on and that no firewall drops the connection."),
    ),
    "timeout": (N_("The archive took the connection, but did not answer in time."), _TRIES_AGAIN),
    "rejected": (
        N_("The archive has rejected the association."),
        N_("Have the archive know our AE title and address, and check the destination's ae_title."),
    ),
    "rejected-transient": (
        N_("The archive is busy and has rejected the association for now."),
        _TRIES_AGAIN,
    ),
    "busy": (
        N_("The archive has no resources for this now."),
        _TRIES_AGAIN,
    ),
    "aborted": (
        N_("The archive has aborted the association."),
        N_("It is tried again by itself; if it goes on, look into the archive's log."),
    ),
    "closed": (N_("The archive has closed the connection before it answered."), _TRIES_AGAIN),
    "protocol": (
        N_("The archive answered something that is not DICOM."),
        N_("Check that the destination's port is the archive's DICOM port."),
    ),
    "no-context": (
        N_("The archive does not accept this kind of image."),
        N_("Have the archive accept the image's SOP class and transfer syntax, then retry."),
    ),
    "out-of-resources": (
        N_("The archive has no room or no resources for the image."),
        N_("Have the archive's operator look; it is tried again by itself."),
    ),
    "status": (
        N_("The archive has refused the image with a status."),
        N_("Look up the status in the archive's conformance statement and its log."),
    ),
    "warning": (
        N_("The archive has kept the image, but answered with a warning."),
        N_("Look up the status in the archive's conformance statement."),
    ),
    "duplicate": (
        N_("The archive already has an image with this SOP Instance UID; it counts as sent."),
        _NOTHING,
    ),
    "not-authorized": (
        N_("The archive does not allow us to store this image."),
        N_("Have the archive's operator give our AE title the right to store."),
    ),
    "sop-class-not-supported": (
        N_("The archive does not store this kind of image."),
        N_("Have the archive accept the image's SOP class, then retry."),
    ),
    "waiting-for-archive": (
        N_("The archive is away; what waits for it goes as soon as it answers."),
        _NOTHING,
    ),
    "interrupted": (N_("The work on the image was interrupted."), _TRIES_AGAIN),
    "stopped": (N_("The gateway was stopped during the try."), _TRIES_AGAIN),
}

#: why an image was left as received instead of being compressed
AS_RECEIVED = {
    "already-compressed": N_("The image is compressed already."),
    "no-pixel-data": N_("The object has no Pixel Data."),
    "float-pixels": N_("The pixels are floating point numbers."),
    "one-bit": N_("The pixels have one bit each."),
    "bits-allocated": N_("The pixel cells have neither 8 nor 16 bits."),
    "bits-stored": N_("The pixels have fewer than 8 bits, or more than their cells."),
    "high-bit": N_("The High Bit is not the highest of the Bits Stored."),
    "photometric": N_("This Photometric Interpretation is not compressed here."),
    "signed-colour": N_("The colour samples are signed numbers."),
    "colour-of-class": N_("This SOP class may not have these colours in JPEG 2000."),
    "sub-sampled": N_("The colours are sub-sampled."),
    "attributes": N_("An attribute that describes the pixels is missing or wrong."),
    "pixel-vr": N_("The byte order of the pixels is not certain."),
    "pixel-length": N_("The Pixel Data is longer or shorter than its frames."),
    "odd-frames": N_("The frames do not begin at whole 16-bit words."),
    "fragments": N_("The fragments do not tell where each frame begins."),
    "encapsulated-icon": N_("A small picture inside the object is compressed in another way."),
    "overlay-in-pixel-cell": N_("An overlay lies in the unused bits of the pixel cells."),
    "unused-bits": N_("The unused bits of the pixel cells are not empty."),
    "over-budget": N_("A frame is larger than compress.frame_bytes_most."),
    "deflated": N_("The data set is deflated and is never inflated here."),
    "unknown-syntax": N_("The transfer syntax is not known here."),
    "rewrite": N_("The data set cannot be written in another transfer syntax without a guess."),
    "too-long": N_("The pixels are longer than the other transfer syntax can hold."),
    "no-fallback": N_("This compression is not undone here."),
    "pixels-differ": N_("Read back, the pixels or another element were not the same."),
    "codestream-mismatch": N_("The compressed image did not decode to the same pixels."),
    "codec-died": N_("The encoder ended on this image: memory, processor time or a fault."),
    "codec-error": N_("The encoder failed on this image."),
    "undecodable": N_("The stored pixels cannot be decoded."),
    "unencodable": N_("The encoder does not take an image of this shape."),
    "lossy-before": N_("The image has lost content before, and never loses it twice."),
    "not-for-lossy": N_("An image of this kind must not lose content."),
    "too-lossy": N_("At this ratio the image would lose too much."),
    "encoders-busy": N_("The image is urgent, and all encoders were busy."),
    "compression-off": N_("Compression is switched off in the configuration."),
}

#: what happened to the spool as a whole; status shows it until a person has seen it
INCIDENT = {
    "database-rebuilt": (
        N_("The database was lost or damaged; it was rebuilt from a daily copy and the files."),
        N_("Look at what is held with 'gateway queue list --state held', and check the disk."),
    ),
    "database-emptied": (
        N_("The database was lost or damaged, and no daily copy was there: it is built anew."),
        N_("What lies here is sent again, which is harmless; have the disk checked."),
    ),
    "pauses-unreadable": (
        N_("Which destinations are paused cannot be read any more: the file is damaged."),
        N_("Pause again what is to stay paused, and have the disk checked."),
    ),
    "taken-in-again": (
        N_("Stored files that the database did not know were taken in again."),
        _NOTHING,
    ),
    "files-missing": (
        N_("Stored files are missing; what waited for them is held."),
        N_("List it with 'gateway queue list --state held', and have the disk checked."),
    ),
    "blob-damaged": (
        N_("A stored file is damaged."),
        N_("Send the image again from the modality, and have the disk checked."),
    ),
    "restored": (
        N_("This box was restored from a backup; what waited then is sent."),
        _NOTHING,
    ),
}

#: why watch or import did not take a file
FILE = {
    "no-data-set": (N_("This is not a DICOM file."), _EXPORT_AGAIN),
    "meta-broken": (N_("The head of the DICOM file is broken."), _EXPORT_AGAIN),
    "uid-missing": (
        N_("The file does not say its SOP Class UID or its SOP Instance UID."),
        _EXPORT_AGAIN,
    ),
    "incomplete": (
        N_("The file was still incomplete when the waiting time was over."),
        N_("Copy the file into the watched folder again."),
    ),
    "dicomdir": (
        N_("This is the index of a medium, not an image; the images beside it are taken."),
        _NOTHING,
    ),
    "unreadable-file": (
        N_("The file cannot be read."),
        N_("Give the gateway's user the right to read it, and check the medium."),
    ),
    "no-room": (
        N_("The disk is too full to take another image safely."),
        N_("What is kept goes on being delivered; make room, or wait until the archive is back."),
    ),
}

#: why a verb could not do what it was asked
VERB = {
    "service-not-running": (
        N_("The gateway is not running."),
        N_("Start it with 'gateway run' or 'systemctl start gateway.target'."),
    ),
    "state-folder-in-use": (
        N_("Another gateway is already running on this state folder."),
        N_("Stop the other one first, or give this one a state_dir of its own."),
    ),
    "state-folder": (
        N_("The state folder cannot be used."),
        N_("Check that gateway.state_dir exists on a local disk and belongs to this user."),
    ),
    "schema-too-new": (
        N_("A later version has written this database."),
        N_("Install that version again, or one after it."),
    ),
    "database-damaged": (
        N_("The database is damaged."),
        N_("Stop the gateway and run 'gateway migrate': it rebuilds it from copy and files."),
    ),
    "database-missing": (
        N_("The database is missing, but stored files are there."),
        N_("Start the gateway or run 'gateway migrate': it is rebuilt from copy and files."),
    ),
    "database-busy": (
        N_("The database is busy."),
        N_("Try again in a moment."),
    ),
    "disk-failed": (
        N_("The disk could not be read or written."),
        N_("Look into 'journalctl -k' and have the disk checked."),
    ),
    "nothing-named": (
        N_("It is not said which items are meant."),
        N_("Name ids, give a filter such as --state held, or say --all."),
    ),
    "ids-and-filter": (
        N_("Ids and a filter were given at once."),
        N_("Give either; beside ids only --destination may stand."),
    ),
    "folder-inside": (
        N_("The folder lies inside the state folder."),
        N_("Name a folder on another disk."),
    ),
    "folder-not-empty": (
        N_("The folder is not empty."),
        N_("Name a new or an empty folder."),
    ),
    "folder-unusable": (
        N_("The folder cannot be read or written."),
        N_("Check that its disk is mounted and that it belongs to the gateway's user."),
    ),
    "folder-full": (
        N_("The disk is too full; what was begun is removed."),
        N_("Make room, or name a folder on a larger disk."),
    ),
    "not-a-backup": (
        N_("The folder holds no whole, sound backup; nothing of it was taken."),
        N_("Name a folder that 'gateway backup' has finished."),
    ),
    "state-folder-not-empty": (
        N_("The state folder holds images already."),
        N_("Restore into an empty state_dir; move the old one aside first."),
    ),
    "set-aside": (
        N_("What was damaged has been set aside, not deleted."),
        N_("Keep it until the cause is found; then it may be removed."),
    ),
    "unknown-item": (N_("There is no such item."), N_("List the items with 'gateway queue list'.")),
    "wrong-state": (
        N_("The item is not in a state in which this can be done."),
        N_("Look at it with 'gateway queue show'."),
    ),
    "unknown-destination": (
        N_("The configuration has no destination of this name."),
        N_("List the destinations with 'gateway destination list'."),
    ),
    "still-configured": (
        N_("The configuration still has this destination: new images would go there."),
        N_("Take it out of the file, restart the gateway, then say what becomes of what waits."),
    ),
    "to-itself": (
        N_("Both names mean the same destination."),
        N_("Name another one to which the images are to go."),
    ),
    "bad-door": (
        N_("This is not a door, or not an IP address."),
        N_("Write ae:TITLE, folder:NAME, camera:NAME or import; an address as 192.168.1.20."),
    ),
    "htj2k-missing": (
        N_("The codec for HTJ2K is not installed."),
        N_("Install the extra htj2k; until then JPEG 2000 Lossless is sent instead."),
    ),
    "no-such-path": (N_("There is no such file or folder."), N_("Check the path.")),
    "port-in-use": (
        N_("Another program already listens on this address and port."),
        N_("Stop that program, or choose another port in [[listen]]."),
    ),
    "port-not-allowed": (
        N_("This user may not listen on this port."),
        N_("Choose a port above 1023 in [[listen]], or start the gateway by its systemd units."),
    ),
    "address-unknown": (
        N_("This computer does not have the address to listen on."),
        N_("Correct the address in [[listen]]."),
    ),
    "blob-without-row": (
        N_("A stored file is not known to the database."),
        N_("Leave it in place; it is kept, and can be taken in again with 'gateway import'."),
    ),
    "row-without-blob": (
        N_("The database knows an image whose file is missing."),
        N_("Have the disk checked, and send the image again from the modality."),
    ),
    "not-migrated": (
        N_("The database is of an older version."),
        N_("Run 'gateway migrate'."),
    ),
    "unknown-stage": (
        N_("There is no such process or stage."),
        N_("Processes are intake and work; stages are named in the manual."),
    ),
    "tool-missing": (
        N_("A program that is needed is not installed."),
        N_("Install it and try again."),
    ),
}

REASONS: dict[str, tuple[str, str]] = {
    **HELD,
    **DELIVERY,
    **TLS,
    **CALLER,
    **WEB,
    **LOGIN,
    **MEDIUM,
    **ON_MEDIUM,
    **CONFIRM,
    **{code: (what, N_("It is forwarded as received.")) for code, what in AS_RECEIVED.items()},
    **INCIDENT,
    **FILE,
    **VERB,
}


def explain(code: str, **values: str) -> str:
    """Return what `code` means and what to do next, in the chosen language.

    `values` are technical and free of patient data (a status, a byte, a host): they follow in
    brackets, empty ones left out.  A code that this version does not know is shown as it is.
    """
    if not code:
        return ""
    return in_words(*REASONS.get(code, (code, "")), **values)


def in_words(what: str, next_step: str, **values: str) -> str:
    """As `explain`, for the two sentences of a table that stands elsewhere."""
    what, next_step = _(what), _(next_step)
    if shown := ", ".join(filter(None, values.values())):
        what = _("{what} ({values})").format(what=what, values=shown)
    return _("{what} {next_step}").format(what=what, next_step=next_step) if next_step else what
