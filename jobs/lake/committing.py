"""What surrounds every commit, whichever hand makes it: stop points, turns, and conflicts told as one error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from delta import exceptions as delta_errors

from jobs.lake import stop_points
from jobs.lake.arrow_tables import OvertakenError
from jobs.lake.commits import Stamp
from jobs.lake.tables import Table
from models.errors import ConflictError

# In Python none of Delta's conflicts is a subclass of the one that is called their base.
_CONFLICTS = (
    delta_errors.DeltaConcurrentModificationException, delta_errors.ConcurrentWriteException,
    delta_errors.MetadataChangedException, delta_errors.ProtocolChangedException,
    delta_errors.ConcurrentAppendException, delta_errors.ConcurrentDeleteReadException,
    delta_errors.ConcurrentDeleteDeleteException, delta_errors.ConcurrentTransactionException,
)  # fmt: skip


@contextmanager
def committing(table: Table, stamp: Stamp) -> Iterator[None]:
    """Within it a commit is made, between the stop points `JOB:TABLE:before_commit` and `after_commit`.

    Raises:
        ConflictError: Another commit was first.
    """
    stop_points.reach(f"{stamp.job}:{table.name}:before_commit")
    try:
        yield
    except _CONFLICTS as error:
        raise conflict(table, type(error).__name__) from None
    except OvertakenError as error:
        raise conflict(table, str(error)) from None
    stop_points.reach(f"{stamp.job}:{table.name}:after_commit")


def conflict(table: Table, how: str) -> ConflictError:
    """The error of a commit that came too late."""
    return ConflictError(
        f"{table.name}: another run wrote the same part first ({how}); nothing of this run was committed, run it again"
    )


def turn_of(table: Table, sequence: str = "") -> str:
    """The transaction id that the appends of a sequence share, whichever hand makes them."""
    return f"{table.name}/{sequence}in turn"
