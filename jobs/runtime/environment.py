"""What the machine must have before a session starts: one clear sentence where it has not."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from models.errors import EnvError
from models.folders import cache

MIN_JAVA = 17
MIN_FREE_BYTES = 2 << 30
JAVA_TEMPORARY = Path("/tmp")


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


def check_user() -> None:
    """The user of this process has a name, which Hadoop asks for, or `EnvError`."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise EnvError(
            f"user: {os.getuid()} has no name in passwd, without which Spark does not start; run as a user with one, "
            "or add a line to /etc/passwd"
        ) from None


def set_utf8_locale() -> None:
    """Let a JVM that is started from here name files in UTF-8, as the rest of the platform does, whatever the locale.

    Cron, ssh and slim images set `LC_ALL=C`, in which Java knows no file with a Chinese name.
    """
    locale = next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := os.environ.get(name))), "")
    if "utf-8" not in locale.lower() and "utf8" not in locale.lower():
        os.environ["LC_ALL"] = "C.UTF-8"


def temporary_folder(candidates: Sequence[Path] | None = None) -> Path | None:
    """Where native libraries can be unpacked and run: None where the system's own folder is as good as any.

    Hardened machines mount `/tmp` without exec. The folder may be yet to make.

    Args:
        candidates: Folders to take instead; by default one of the cache.

    Raises:
        EnvError: None of the folders will do either.
    """
    if _runs_programs(JAVA_TEMPORARY):
        return None
    candidates = [cache() / "tmp"] if candidates is None else candidates
    for folder in candidates:
        if _runs_programs(folder):
            return folder
    raise EnvError(
        f"{JAVA_TEMPORARY} is mounted noexec, and so is {', '.join(map(str, candidates))}: Spark unpacks "
        "libraries there; set PINGTI_CACHE, or spark.driver.extraJavaOptions to -Djava.io.tmpdir=FOLDER, to a folder "
        "that may exec"
    )


def _runs_programs(folder: Path) -> bool:
    return not os.statvfs(_existing(folder)).f_flag & os.ST_NOEXEC


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def own_disk(location: str | None) -> Path:
    """Where this machine's disk fills up, of a warehouse at a place."""
    return Path(location) if location and "://" not in location else Path()


def check_disk(workplace: Path, free_bytes: int = MIN_FREE_BYTES) -> None:
    """The disk of `workplace` has room, or `EnvError`."""
    existing = _existing(workplace)
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
