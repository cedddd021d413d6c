"""Errors that were raised on executors, told as if they had been raised here: their class, exit code and sentence.

Spark wraps a worker's error in a JVM's, whose message is thousands of lines; a disk that is full comes as a JVM's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException

from models import errors
from models.errors import EnvError, PingtiError

# The last line of a worker's traceback; the JVM goes on below it.
_OURS = re.compile(r"^\s*models\.errors\.(\w+): (.*)$", re.MULTILINE)
# By what the JVM or a worker says: what the machine lacks, and what to do.
_MACHINE = {
    "No space left on device": "a disk is full; free some space on the machines of driver and executors",
    "Permission denied": "a file or folder may not be written or read; mend its rights",
    "Connection refused": "Spark's master or an executor does not answer; look whether the cluster is up",
    "OutOfMemoryError": "the JVM ran out of memory; give executors or driver more",
    "SparkContext was shut down": "the session ended under way; look why the driver or the cluster stopped it",
}


@contextmanager
def told_here(where: str) -> Iterator[None]:
    """Within it an error of Spark's that has one of ours, or of the machine's, at its bottom is raised as that.

    Args:
        where: The job.
    """
    try:
        yield
    except (PySparkException, Py4JError) as error:
        ours = told(where, error)
        if ours is None:
            raise
        raise ours from None


def told(where: str, error: Exception) -> PingtiError | None:
    """The error at the bottom of one of Spark's, None where it is Spark's own."""
    message = str(error)
    found = _OURS.search(message)
    if found is not None:
        kind = getattr(errors, found[1], None)
        if isinstance(kind, type) and issubclass(kind, PingtiError):
            return kind(found[2].strip())
    if isinstance(error, Py4JNetworkError):
        return EnvError(f"{where}: the JVM is gone; look at its log, and whether the machine has memory for it")
    for sign, remedy in _MACHINE.items():
        if sign in message:
            return EnvError(f"{where}: {remedy}")
    return None
