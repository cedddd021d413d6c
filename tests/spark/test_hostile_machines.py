"""Machines as schedulers, containers and hardened hosts have them: each command in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]
QUERY = "select text, event_time, dt from raw_texts"


def settings_in(folder: Path) -> Path:
    """Settings of a warehouse with a Chinese name, and one record to load."""
    line = {"id": "1", "content": "你好🩷", "at": "2026-03-01T02:00:00+08:00"}
    (folder / "课堂.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n", "utf-8")
    source = {
        "path": str(folder / "*.jsonl"), "format": "jsonl", "constants": {"source": "app", "scene": "chat"},
        "columns": {"source_id": "id", "text": "content", "event_time": "at"},
    }  # fmt: skip
    lake = {"location": str(folder / "仓 库"), "bundles": str(folder / "束")}
    given = {"lake": lake, "sources": {"app": source}, "session": {"master": "local[1,4]"}}
    (folder / "settings.yaml").write_text(yaml.safe_dump(given, allow_unicode=True), "utf-8")
    return folder / "settings.yaml"


def pingti(
    *arguments: str, settings: Path, before: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """A command's end; `before` comes before it on the command line."""
    command = [*before, sys.executable, "-m", "jobs.cli", *arguments, "--settings", str(settings)]
    there = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, env=there, capture_output=True, check=False, timeout=300)


def test_a_chinese_warehouse_works_under_the_c_locale_and_shows_times_of_the_sessions_zone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    for command in (("init",), ("ingest",), ("clean",)):
        ended = pingti(*command, settings=settings, LC_ALL="C")
        assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    ended = pingti("sql", QUERY, settings=settings, LC_ALL="C", PYTHONIOENCODING="gbk", TZ="America/New_York")
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    shown = ended.stdout.decode("gbk")
    assert "你好?" in shown
    assert "2026-03-01 02:00:00" in shown
    assert {item.name for item in tmp_path.iterdir()} <= {"课堂.jsonl", "settings.yaml", "仓 库", "束"}


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("unshare") is None, reason="only root mounts a folder")
def test_libraries_are_unpacked_elsewhere_where_tmp_is_mounted_noexec(tmp_path: Path) -> None:
    noexec = "mount --bind /tmp /tmp && mount -o remount,bind,noexec /tmp"  # what lies there stays to be seen
    mounted = ["unshare", "-m", "sh", "-c", f'{noexec} && exec "$@"', "sh"]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    settings = settings_in(tmp_path)
    for command in (("init",), ("ingest",), ("clean",)):
        ended = pingti(*command, settings=settings, before=mounted)
        assert ended.returncode == 0, ended.stderr.decode()[-2000:]
