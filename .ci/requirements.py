"""Prints what an extra of pyproject.toml asks for, one requirement a line, to be installed without the project.

The environment is shared by every clone with the same constraints; the project itself is not part of it.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parent.parent.joinpath("pyproject.toml").read_text("utf-8"))["project"]
extras = project["optional-dependencies"]


def wanted(extra: str) -> set[str]:
    """All requirements of an extra, those of the extras it names included."""
    found: set[str] = set()
    for requirement in extras[extra]:
        if requirement.startswith("pingti["):
            for inner in requirement.removeprefix("pingti[").removesuffix("]").split(","):
                found |= wanted(inner)
        else:
            found.add(requirement)
    return found


sys.stdout.write("\n".join(sorted(set(project["dependencies"]) | wanted(sys.argv[1]))) + "\n")
