"""reasons_tls: why there is no encrypted connection, to an archive or from a caller.

Gives      tables for `gateway.reasons`, in its form: code -> (what happened, next step)
Holds      nothing; a code never changes once released, its sentences may
"""

from gateway.language import N_

_RENEW = N_("Have its administrator renew it; if our day is wrong, set the clock of this box.")
_TRUST = N_("Put the CA that signed it, as its administrator gave it to you, into tls_ca.")
_KNOW_US = N_("Have its administrator trust our certificate, or its CA; tls_certificate names it.")

#: why there is no encrypted connection to an archive; nothing was sent in plain text
TLS = {
    "tls-unknown-ca": (N_("Nobody whom we trust has signed the archive's certificate."), _TRUST),
    "tls-ended": (N_("The archive's certificate has ended."), _RENEW),
    "tls-not-yet-valid": (
        N_("The archive's certificate is not valid yet."),
        N_("Compare the clocks of this box and of the archive; it is tried again by itself."),
    ),
    "tls-clock": (
        N_("The clock of this box looks wrong: the archive's certificate begins later."),
        N_("Set the clock (timedatectl); it is tried again by itself."),
    ),
    "tls-wrong-name": (
        N_("The archive's certificate is made out to another name than the one called."),
        N_("Call it by a name in its certificate, or say that name by tls_server_name."),
    ),
    "tls-certificate-refused": (
        N_("The archive's certificate may not be used for this."),
        N_("Have its administrator make a new one, for a server."),
    ),
    "tls-own-certificate-missing": (
        N_("The archive wants to see a certificate of ours, and none is configured."),
        N_("Name one by tls_certificate and tls_key; its administrator says who must sign it."),
    ),
    "tls-own-certificate-refused": (N_("The archive does not take our certificate."), _KNOW_US),
    "tls-own-certificate-ended": (
        N_("The archive says that our certificate has ended."),
        N_("Renew the one that tls_certificate names; no restart is needed."),
    ),
    "tls-peer-certificate-missing": (
        N_("The archive showed no certificate."),
        N_("Have its administrator give it one."),
    ),
    "tls-nothing-in-common": (
        N_("The archive and this box have no version or cipher of TLS in common."),
        N_("Have it speak TLS 1.2 with ECDHE and AES-GCM, or TLS 1.3 (BCP 195)."),
    ),
    "tls-too-weak": (
        N_("The archive's certificate or keys are too weak."),
        N_("Have it use RSA of 2048 bits or more, or ECDSA, and signatures by SHA-256."),
    ),
    "tls-plain-dicom": (
        N_("This port speaks plain DICOM, and the destination asks for TLS."),
        N_("Name the archive's TLS port, often 2762, or have TLS switched on there."),
    ),
    "tls-plain-peer": (
        N_("This port answers in plain text, and the destination asks for TLS."),
        N_("Name the archive's TLS port, or have TLS switched on there."),
    ),
    "tls-expected": (
        N_("This port speaks TLS, and the destination does not."),
        N_("Say tls = true in the destination, with tls_ca, or name the archive's plain port."),
    ),
    "tls-timeout": (
        N_("The archive took the connection, but did not end the TLS handshake in time."),
        N_("Check that the port is the one for TLS; it is tried again by itself."),
    ),
    "tls-closed": (
        N_("The archive closed the connection during the TLS handshake."),
        N_("Check that the port is the one for TLS, and look into the archive's log."),
    ),
    "tls-protocol": (
        N_("The encrypted connection failed."),
        N_("Look into the archive's log; it is tried again by itself."),
    ),
    "tls-file-unreadable": (
        N_("A certificate or key that the configuration names cannot be read."),
        N_("Check its path, and that the gateway's user may read it."),
    ),
    "tls-no-certificate": (
        N_("A file that the configuration names holds no sound certificate in PEM form."),
        N_("Convert it with 'openssl x509', or name another file."),
    ),
    "tls-key-unusable": (
        N_("A private key cannot be used: it has a password, or is not in PEM form."),
        N_("Store it without a password, readable for the gateway's user alone."),
    ),
    "tls-key-mismatch": (
        N_("A private key belongs to another certificate."),
        N_("Name the key with which the certificate was asked for."),
    ),
    "tls-own-ended": (
        N_("A certificate of ours has ended."),
        N_("Renew it in place; no restart is needed."),
    ),
    "tls-ends-soon": (
        N_("A certificate ends soon."),
        N_("Have it renewed before that day, or nothing goes this way any more."),
    ),
}

#: why a caller was not let in at a dicom-tls door; it stands in the log
CALLER = {
    "tls-caller-plain": (
        N_("The caller speaks plain DICOM at a door for TLS."),
        N_('Switch TLS on in the modality, or have it call a door of kind "dicom".'),
    ),
    "tls-caller-without-certificate": (
        N_("The caller showed no certificate, and client_ca asks for one."),
        N_("Give the modality a certificate, or leave client_ca out."),
    ),
    "tls-caller-unknown-ca": (
        N_("Nobody in client_ca has signed the caller's certificate."),
        N_("Put its CA into client_ca, if it is to be let in."),
    ),
    "tls-caller-ended": (
        N_("The caller's certificate has ended."),
        N_("Renew the modality's certificate, and check the clock of this box."),
    ),
    "tls-caller-not-yet-valid": (
        N_("The caller's certificate is not valid yet."),
        N_("Check the clock of this box."),
    ),
    "tls-caller-nothing-in-common": (
        N_("The caller knows no version or cipher of TLS that is still safe."),
        N_("Have the modality speak TLS 1.2 with ECDHE and AES-GCM, or TLS 1.3 (BCP 195)."),
    ),
    "tls-caller-distrusts-us": (
        N_("The caller does not take the certificate of this door."),
        N_("Have the modality trust the certificate, or its CA, and check its name and days."),
    ),
    "tls-caller-silent": (
        N_("The caller did not end the TLS handshake in time."),
        N_("If it is a modality, check its network and its setting for TLS."),
    ),
    "tls-caller-failed": (
        N_("The encrypted connection with the caller failed."),
        N_("If it is a modality, look into its log."),
    ),
    "tls-caller-gone": (
        N_("The caller closed the connection during the TLS handshake."),
        N_("If it is a modality, look whether it takes the certificate of this door."),
    ),
}
