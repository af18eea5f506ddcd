"""Commands that share the cache of one instance through a registry: pull, push, sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pg_ephemeral.cli import output
from pg_ephemeral.cli.about import json_option
from pg_ephemeral.cli.cache import opened_cache
from pg_ephemeral.cli.options import instance_option, progress_of

if TYPE_CHECKING:
    from pg_ephemeral.sharing import PullReport, PushReport


@click.command("pull")
@instance_option
@json_option
@click.pass_context
def pull(context: click.Context, *, as_json: bool) -> None:
    """Fetch the newest stage that the registry has and this machine has not; at most one image.

    To find none is no failure: the output says so. The registry is cache_registry in the file, or --cache-registry.
    """
    from pg_ephemeral import sharing

    cache = opened_cache(context)
    with progress_of(context) as progress:
        report = sharing.pull(cache, progress=progress)
    if as_json:
        output.document(report.to_json())
    else:
        output.text(_pulled(report))


@click.command("push")
@instance_option
@click.option("--tip", is_flag=True, help="Send the last stage alone.")
@click.option("--force", is_flag=True, help="Send also what the registry has, and overwrite it.")
@json_option
@click.pass_context
def push(context: click.Context, *, tip: bool, force: bool, as_json: bool) -> None:
    """Send the stages that are here to the registry, oldest first; what it has is left alone."""
    from pg_ephemeral import sharing

    cache = opened_cache(context)
    with progress_of(context) as progress:
        report = sharing.push(cache, tip=tip, force=force, progress=progress)
    if as_json:
        output.document(report.to_json())
    else:
        output.text(_pushed(report, tip=tip))


@click.command("sync")
@instance_option
@click.option("--strict", is_flag=True, help="Fail when the registry fails, instead of building here.")
@json_option
@click.pass_context
def sync(context: click.Context, *, strict: bool, as_json: bool) -> None:
    """Pull what the registry has, build what is missing, push what is new: what a CI job needs."""
    from pg_ephemeral import sharing

    cache = opened_cache(context)
    with progress_of(context) as progress:
        report = sharing.sync(cache, strict=strict, progress=progress)
    if as_json:
        output.document(report.to_json())
        return
    if report.pulled is not None:
        output.text(_pulled(report.pulled))
    if report.pushed is not None:
        output.text(_pushed(report.pushed))


def _pulled(report: PullReport) -> str:
    if report.pulled is not None:
        return f"Pulled: {report.pulled}"
    if report.present is not None:
        return f"Present: {report.present}{_newer(report)}"
    return f"Nothing found in {report.cache.repository}"


def _newer(report: PullReport) -> str:
    """How the registry stands to what is newer than the stage that is here; nothing when that is the last."""
    from pg_ephemeral.oci.state import State

    states = {one.state for one in report.looked}
    if not states:
        return ""
    if State.CORRUPT in states:
        return " and what is newer in the registry is damaged"
    if State.HIDDEN in states:
        return " and the registry shows us none that is newer"
    return " and the registry has none that is newer"


def _pushed(report: PushReport, *, tip: bool = False) -> str:
    if not report.stages:
        missing = "the last stage is not here" if tip else "no stage is here"
        return f"Nothing to push: {missing} (pg-ephemeral cache populate builds what is missing)"
    verbs = {"pushed": "Pushed:", "present": "Already there:"}
    return "\n".join(f"{verbs[stage.status]} {stage.reference}" for stage in report.stages)
