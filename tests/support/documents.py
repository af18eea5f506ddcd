"""Documents as what they claim: the blocks of a Markdown file, and running them.

A block's language decides. ``python`` is run. ``toml`` is read as a configuration file. In ``console`` a line that
begins with ``$ `` is run by sh(1) and must succeed, and its stdout must be the lines that follow, if any do; when these
begin with ``error:`` it must fail with them on stderr. ``...`` stands for any text. Other languages are for the eye.

A comment on the line before a block changes that: ``<!-- file: NAME -->`` writes the block to that file first, and
``<!-- not run: REASON -->`` leaves the block alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pg_ephemeral import config

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<language>\w*)\s*$")
_FILE = re.compile(r"<!-- file: (?P<name>[\w./-]+) -->")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")

_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block. ``line`` is that of its fence, from 1."""

    language: str
    text: str
    line: int
    file: str | None = None
    not_run: str | None = None


def documents() -> list[Path]:
    """Every Markdown file of the repository."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def blocks(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    lines = iter(enumerate(document.read_text(encoding="utf-8").splitlines(), start=1))
    before = ""
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            before = line.strip() or before
            continue
        held = []
        for _, inner in lines:
            if inner == fence["fence"]:
                break
            held.append(inner)
        file, not_run = _FILE.fullmatch(before), _NOT_RUN.fullmatch(before)
        before = ""
        yield Block(
            language=fence["language"],
            text="".join(f"{inner}\n" for inner in held),
            line=number,
            file=file["name"] if file else None,
            not_run=not_run["reason"] if not_run else None,
        )


def links(document: Path) -> Iterator[str]:
    """The targets of a document's links within the repository, without their anchors."""
    for match in _LINK.finditer(document.read_text(encoding="utf-8")):
        target = match["target"].partition("#")[0]
        if target and "://" not in target:
            yield target


def run(block: Block, directory: Path, environment: Mapping[str, str]) -> None:
    """Do with a block what it is for. Fails with the block's line when it is not as the document says."""
    if block.file is not None:
        target = directory / block.file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, encoding="utf-8")
    if block.not_run is not None:
        return
    match block.language:
        case "toml":
            _read_configuration(block, directory)
        case "python" if block.file is None:
            _done(block, [sys.executable, "-c", block.text], directory, environment)
        case "console":
            for command, expected in _commands(block):
                _compare(block, command, expected, _shell(command, directory, environment))
        case _:
            pass


def environment(cache: Path) -> dict[str, str]:
    """Ours, with our own programs first on PATH and the cache where the test wants it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PG_EPHEMERAL_CACHE_DIR": str(cache), "TERM": "dumb"}


def _read_configuration(block: Block, directory: Path) -> None:
    name = directory / (block.file or f"line-{block.line}.toml")
    if block.file is None:
        name.write_text(block.text, encoding="utf-8")
    config.load(name)
    if block.file is None:
        name.unlink()


def _commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output shown for it; ``> `` continues a command."""
    command, shown = "", ""
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], ""
        elif line.startswith("> ") and not shown:
            command += f"\n{line[2:]}"
        else:
            shown += f"{line}\n"
    if command:
        yield command, shown


def _shell(command: str, directory: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )


def _compare(block: Block, command: str, expected: str, done: subprocess.CompletedProcess[str]) -> None:
    said = f"line {block.line}: $ {command}\nstatus {done.returncode}\n{done.stdout}{done.stderr}"
    fails = expected.startswith("error:")
    assert (done.returncode != 0) == fails, said
    output = done.stderr if fails else done.stdout
    if expected:
        pattern = ".*?".join(re.escape(part) for part in expected.rstrip("\n").split("..."))
        assert re.fullmatch(pattern, output.rstrip("\n"), re.DOTALL), f"{said}\nshown:\n{expected}"


def _done(block: Block, argv: list[str], directory: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        argv, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS
    )
    assert done.returncode == 0, f"line {block.line}: status {done.returncode}\n{done.stdout}{done.stderr}"
