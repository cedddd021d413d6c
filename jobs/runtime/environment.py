"""What the machine must have before a session starts: one clear sentence where it has not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from models.errors import EnvError

MIN_JAVA = 17
MIN_FREE_BYTES = 2 << 30


def check(workplace: Path, free_bytes: int = MIN_FREE_BYTES) -> None:
    """Java is there and new enough, and the disk of `workplace` has room.

    Raises:
        EnvError: naming what is missing and what to do.
    """
    check_java()
    check_disk(workplace, free_bytes)


def check_java() -> None:
    """Java is there and new enough, or `EnvError`."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None or not Path(java).exists():
        raise EnvError(f"Java: none found; install a JDK {MIN_JAVA} or newer, or set JAVA_HOME to one")
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise EnvError(f"Java: {java} does not run ({error}); install a JDK {MIN_JAVA} or newer") from None
    found = re.search(r'version "(?:1\.)?(\d+)', answer)
    if found is None or int(found[1]) < MIN_JAVA:
        got = found[1] if found else "an unknown version"
        raise EnvError(f"Java: {java} is {got}; Spark needs {MIN_JAVA} or newer: install one, or set JAVA_HOME to it")


def check_disk(workplace: Path, free_bytes: int = MIN_FREE_BYTES) -> None:
    """The disk of `workplace` has room, or `EnvError`."""
    existing = next(folder for folder in (workplace, *workplace.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < free_bytes:
        raise EnvError(
            f"disk: {free >> 20} MiB are free under {existing}, {free_bytes >> 20} MiB are needed; "
            "free some space, or set lake.location to another disk"
        )


if __name__ == "__main__":
    try:
        check(Path(sys.argv[1]), int(sys.argv[2]) << 30)
    except EnvError as error:
        sys.stderr.write(f"pingti: {error}\n")
        sys.exit(error.exit_code)
