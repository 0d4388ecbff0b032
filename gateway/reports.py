"""reports: what an archive reports on storage commitment is written down before it is answered.

Takes      N-EVENT-REPORT, on an association of ours or on one that the archive opens to our port
Gives      rows of `spool.committing`, and only then success; a ring for the stages `confirm`
Repeats    a report that was not answered with success comes again; twice is once
Logs       reported, unknown-report, report-not-kept

References: PS3.4 J.3.3; `gateway.dicom.commitment` says what is answered.
"""

import sqlite3
from collections.abc import Sequence

from gateway import logs
from gateway.dicom.commitment import CannotKeep, Report, Reports
from spool.errors import SpoolFull
from spool.store import Spool


def reports(spool: Spool, who: str, destinations: Sequence[str]) -> Reports:
    """Return the service that takes reports.

    Parameters
    ----------
    who
        Signs in the log.
    destinations
        Whose transactions may be reported on: only the spool knows whose one is, so all are rung.
    """
    return Reports(lambda report: _keep(spool, who, destinations, report))


def _keep(spool: Spool, who: str, destinations: Sequence[str], report: Report) -> bool:
    uid = report.transaction_uid
    counts = {"done": len(report.done), "failed": len(report.failed)}
    try:
        known = spool.committing.reported(uid, report.done, report.failed)
    except (sqlite3.Error, OSError, SpoolFull) as fault:
        logs.error(who, "report-not-kept", transaction=uid, fault=fault, **counts)
        raise CannotKeep(str(fault)) from fault
    if not known:
        logs.warning(who, "unknown-report", transaction=uid, **counts)
        return False
    logs.info(who, "reported", transaction=uid, **counts)
    for name in destinations:
        spool.ring(f"confirm@{name}")
    return True
