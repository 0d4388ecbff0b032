"""let_in: whether a web server in front of the archive has let us through to it.

Takes      an answer
Gives      nothing, where it may be the archive's own
Defers     ArchiveAway: our certificate was not shown, or not taken
Holds      nothing

nginx ends the handshake with whomever calls, and then answers 400 by a page of its own. The archive
has not seen the request: this says nothing of an image, and must hold none.

References: nginx, src/http/ngx_http_special_response.c (codes 495 and 496).
"""

from gateway.destinations.archive import ArchiveAway
from gateway.destinations.http_answer import HttpAnswer, TooLong

#: What its pages say, in any version since 2009.
PAGES = {
    b"No required SSL certificate was sent": "tls-own-certificate-missing",
    b"The SSL certificate error": "tls-own-certificate-refused",
}
PAGE_BYTES_MOST = 4_096


def must_be_let_in(answer: HttpAnswer) -> None:
    """Raise ArchiveAway where the answer is such a page; of no other HTML is anything needed."""
    if answer.status != 400 or answer.content_type != "text/html":
        return
    try:
        page = answer.read(PAGE_BYTES_MOST)
    except TooLong:
        return
    for words, code in PAGES.items():
        if words in page:
            answer.close()
            raise ArchiveAway(code, words.decode("ascii"), whole=True)
