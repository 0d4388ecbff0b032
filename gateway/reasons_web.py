"""reasons_web: why a web service, or whoever gives out its tokens, could not be used.

Gives      tables for `gateway.reasons`, in its form: code -> (what happened, next step)
Holds      nothing; a code never changes once released, its sentences may
"""

from gateway.language import N_

_SECRET_FILE = N_("Check the file that the destination names, and that its unit may read it.")

#: why a web service could not be reached, or did not answer as one
WEB = {
    "not-http": (
        N_("What answered there does not speak HTTP as it should."),
        N_("Check the destination's url: http or https, host and port."),
    ),
    "redirected": (
        N_("The archive sends us to another address; neither images nor passwords go there."),
        N_("If that address is right, write it as the destination's url; else ask who answers."),
    ),
    "address-refused": (
        N_("The archive's name leads to a link-local address, where no archive is."),
        N_("Correct the name server, or write the address itself as the destination's url."),
    ),
    "proxy-unreachable": (
        N_("The HTTP proxy cannot be reached."),
        N_("Check the destination's proxy, and that it runs."),
    ),
    "proxy-refused": (
        N_("The HTTP proxy does not let us through to the archive."),
        N_("Have the proxy's operator allow this box and the archive's address and port."),
    ),
    "not-dicomweb": (
        N_("What answered there is not a DICOMweb archive: a login page or a proxy, perhaps."),
        N_("Check the destination's url with the archive's administrator, and the way there."),
    ),
    "not-named": (
        N_("The archive's answer does not say what became of the image."),
        N_("Look for the image in the archive and its log; then retry or cancel it."),
    ),
    "named-twice": (
        N_("The archive's answer says that it has stored the image, and that it has not."),
        N_("Look for the image in the archive and its log; then retry or cancel it."),
    ),
    "refused-without-reason": (
        N_("The archive has refused the image and gives no reason."),
        N_("Look into the archive's log, settle it there, then retry."),
    ),
    "unknown-warning": (
        N_("The archive has kept the image with a warning that no table has."),
        N_("Look up the reason in the archive's conformance statement."),
    ),
}

#: why we could not say who we are
LOGIN = {
    "secret-missing": (N_("The file with a secret is not there."), _SECRET_FILE),
    "secret-unreadable": (N_("The file with a secret cannot be read as text."), _SECRET_FILE),
    "secret-empty": (
        N_("The file with a secret is empty, or its first line is."),
        N_("Write the secret into its first line."),
    ),
    "token-unreachable": (
        N_("The server that gives out access tokens cannot be reached, or has not answered."),
        N_("Check token_url and the way there; it is tried again by itself."),
    ),
    "token-refused": (
        N_("The server that gives out access tokens has given us none."),
        N_("Check name, secret and scope with its operator, and this machine's clock."),
    ),
    "google-key": (
        N_("The file is not the key of a Google service account."),
        N_("Download the account's key again, as JSON."),
    ),
    "aws-credentials": (
        N_("The file holds no AWS credentials under the heading [default]."),
        N_("Write aws_access_key_id and aws_secret_access_key there."),
    ),
    "extra-missing": (
        N_("This way to log in needs a package that is not installed."),
        N_("Install the gateway with this extra, as the manual says under Dependencies."),
    ),
}
