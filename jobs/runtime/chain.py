"""Jobs in a row, in one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.lake import registry
from jobs.runtime.context import Context, Request
from jobs.runtime.job import Job, run
from models.errors import GateError


@dataclass(frozen=True, slots=True)
class Link:
    """A job of a chain, with the options it is run with."""

    job: Job[Any]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class ChainResult:
    """What a chain came to: whether any job did something, and the gate's refusal that it went on after."""

    changed: bool = False
    refused: GateError | None = None


def run_chain(links: Sequence[Link], context: Context, *, following: str = "") -> ChainResult:
    """Run the jobs one after the other; each finds by itself whether anything is left to do.

    Args:
        links: The jobs.
        context: Of the whole chain; each job gets a run of its own in the same session.
        following: What is told to come after the last one.

    Raises:
        PingtiError: What ended a job. Not a `GateError` where something is in force already: that labels all the same,
            and the chain's result keeps the error.
    """
    result = ChainResult()
    names = [*(link.job.name for link in links[1:]), following]
    for link, next_name in zip(links, names, strict=True):
        try:
            done = run(link.job, context.for_job(link.job.name, Request(options=link.options)), following=next_name)
            result.changed |= done is not None
        except GateError as error:
            if not registry.live(context.lake):
                raise
            result.refused = error
    return result
