"""as_received: why a rendition is not made. `gateway.reasons` has the sentence for each code."""


class AsReceived(Exception):
    """No such rendition can be made: the object goes as it was received.

    Attributes
    ----------
    code
        Stable word for the reason, a key of `gateway.reasons.AS_RECEIVED`.
    detail
        Numbers and UIDs in English, fit for a log; may be empty.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else code)
