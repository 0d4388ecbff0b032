"""as_received: why a rendition is not made, as a stable code and a sentence.

Takes      the code and numbers or UIDs, from whoever found the reason
Gives      English for log and history, the chosen language for a person; nothing of a patient
"""

from gateway.language import N_, _

#: why an object goes as it came, by its stable code; the codec's own codes are among them
REASONS = {
    "already-compressed": N_("It came compressed already."),
    "unknown-syntax": N_("Its transfer syntax is not known here."),
    "deflated": N_("It is deflated as a whole."),
    "no-pixel-data": N_("It is not an image."),
    "float-pixels": N_("Its pixels are floating point numbers."),
    "one-bit": N_("Its pixels have one bit."),
    "bits-allocated": N_("Its pixel cells have neither 8 nor 16 bits."),
    "bits-stored": N_("Its pixels have fewer than 8 bits, or more than their cells."),
    "high-bit": N_("Its pixels do not begin with the lowest bit of their cells."),
    "photometric": N_("Its colour model is not one that is compressed here."),
    "colour-of-class": N_("Objects of its kind may not have its colours in JPEG 2000."),
    "signed-colour": N_("Its colours are signed numbers."),
    "sub-sampled": N_("Its colours are sub-sampled."),
    "attributes": N_("Something that an image must say of itself is missing or wrong."),
    "pixel-vr": N_("The byte order of its pixels is not certain."),
    "pixel-length": N_("It has more or fewer pixels than it says."),
    "odd-frames": N_("Its frames do not begin at whole words."),
    "fragments": N_("It is not certain where each of its frames begins."),
    "encapsulated-icon": N_("A small picture inside it is compressed in another way."),
    "overlay-in-pixel-cell": N_("An overlay lies in the unused bits of its pixels."),
    "rewrite": N_("It cannot be written in another transfer syntax without a guess."),
    "pixels-differ": N_("Read back, its pixels were not the same."),
    "too-long": N_("Its pixels are longer than this transfer syntax can hold."),
    "no-fallback": N_("Its compression is not one that is undone here."),
    "codestream-mismatch": N_("Compressed and decoded again, its pixels were not the same."),
    "unused-bits": N_("Its pixel cells hold something above the bits of the pixel."),
    "codec-died": N_("The encoder ended on it."),
    "over-budget": N_("One of its frames is larger than is allowed here."),
    "undecodable": N_("One of its frames cannot be decoded."),
    "unencodable": N_("Its frames are too small for the encoder, or it failed on them."),
}


class AsReceived(Exception):
    """No such rendition can be made: the object goes as it was received.

    Attributes
    ----------
    code
        Stable word for the reason, a key of `REASONS`.
    detail
        Numbers and UIDs in English, fit for a log; may be empty.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else code)

    def text(self) -> str:
        """Return the reason as a person reads it, in the chosen language."""
        return _(REASONS[self.code])
