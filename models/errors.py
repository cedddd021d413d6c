"""Every error the project raises on purpose, each with its exit code.

A message says where, what was got, what was expected and what to do. It never holds a text's content: texts are
pupils' words, and messages end in logs.
"""

from __future__ import annotations


class PingtiError(Exception):
    """Base of all our errors; `exit_code` is what the command returns (1: a bug of ours)."""

    exit_code = 1


class SettingsError(PingtiError):
    """The settings or the command line are wrong."""

    exit_code = 2


class GateError(PingtiError):
    """A quality gate said no: what it names was not promoted, or not learnt from."""

    exit_code = 3


class DataError(PingtiError):
    """The data break a promise: a count does not hold, too many rejected records, nothing to work on."""

    exit_code = 4


class SchemaError(DataError):
    """A frame does not have the columns its table declares."""


class BundleError(DataError):
    """A sealed bundle is missing, damaged or not what it claims to be."""


class RefusedError(DataError):
    """Some inputs were set aside whole; everything else of the run is done and recorded."""


class ConflictError(PingtiError):
    """Another run wrote the same days first; run again."""

    exit_code = 5


class EnvError(PingtiError):
    """The machine lacks something: Java, disk space, network, a package."""

    exit_code = 6
