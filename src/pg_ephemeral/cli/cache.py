"""Commands about the cache of one instance: status, populate, reset, inspect, credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pg_ephemeral.cli import output
from pg_ephemeral.cli.about import json_option
from pg_ephemeral.cli.options import definition_of, instance_option, progress_of, some_definition_of
from pg_ephemeral.errors import CacheError, DefinitionError, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pg_ephemeral.cache import Cache, StatusReport
    from pg_ephemeral.oci.reference import Reference
    from pg_ephemeral.plan import SeedStatus


@click.command("status")
@instance_option
@json_option
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Show which seeds are cached (hit), are not (miss), or cannot be (uncacheable)."""
    from pg_ephemeral import cache as stages

    _show(stages.status(opened_cache(context)), as_json=as_json)


@click.command("populate")
@instance_option
@json_option
@click.pass_context
def populate(context: click.Context, *, as_json: bool) -> None:
    """Build the stages that are missing, then show the status of every seed."""
    from pg_ephemeral import cache as stages
    from pg_ephemeral.populate import populate_only

    cache = opened_cache(context)
    with progress_of(context) as progress:
        cache = populate_only(cache, progress=progress)
    _show(stages.status(cache), as_json=as_json)


@click.command("reset")
@instance_option
@click.option("--force", is_flag=True, help="Also remove stages that a running server was started from.")
@click.option("--outdated", is_flag=True, help="Keep those that the file describes as it is now.")
@click.option("--all", "everything", is_flag=True, help="Remove those of all instances, of all projects.")
@json_option
@click.pass_context
def reset(context: click.Context, *, force: bool, outdated: bool, everything: bool, as_json: bool) -> None:
    """Remove every stage of the instance, outdated ones included, and say which.

    A stage that has further names, from another instance with the same seeds or from another registry, stays for them.
    """
    removed = []
    try:
        for reference in _forgotten(context, force=force, outdated=outdated, everything=everything):
            removed.append(str(reference))
            if not as_json:
                output.text(f"Removed: {reference}")
    finally:
        if as_json:
            output.document({"removed": removed})


def _forgotten(context: click.Context, *, force: bool, outdated: bool, everything: bool) -> Iterator[Reference]:
    from pg_ephemeral import cache as stages
    from pg_ephemeral.backends.select import select

    if outdated and everything:
        raise click.UsageError("--outdated and --all contradict each other", ctx=context)
    if everything:
        return stages.reset_all(select(some_definition_of(context)), force=force)
    if outdated:
        cache = opened_cache(context)
        return stages.reset(cache.definition, cache.backend, force=force, keep=cache.chain.keys)
    definition = definition_of(context)
    return stages.reset(definition, select(definition), force=force)


@click.command("inspect")
@instance_option
@click.argument("reference")
@click.pass_context
def inspect(context: click.Context, reference: str) -> None:
    """Print what the stage REFERENCE says of itself, as JSON.

    REFERENCE is a cache_image of cache status --json, or a cache key alone. The instance need not be in the file.
    """
    from pg_ephemeral import cache as stages
    from pg_ephemeral.backends.select import select

    output.document(stages.inspect(select(some_definition_of(context)), _reference(reference)).to_json())


@click.command("credentials")
@instance_option
@click.option("--seed-name", metavar="SEED", help="The stage of this seed.  [default: the last one]")
@click.pass_context
def credentials(context: click.Context, seed_name: str | None) -> None:
    """Print how to connect to a server of a stage, as JSON: user, database, and the host name of its certificate.

    There is no password: a stage holds none, and every server gets one of its own.
    """
    from pg_ephemeral import cache as stages

    cache = opened_cache(context)
    target = _cached_seed(cache, stages.status(cache).seeds, seed_name)
    assert target.stage.key is not None  # noqa: S101 -- it is a hit
    tls = cache.definition.tls
    output.document(
        {
            "cache_image": str(cache.reference(target.stage.key)),
            **({} if tls is None else {"ssl": {"hostname": tls.hostname}}),
            "superuser": {"database": cache.definition.database, "user": cache.definition.superuser},
        }
    )


def opened_cache(context: click.Context) -> Cache:
    """The cache of the instance asked for, its seeds loaded."""
    from pg_ephemeral.backends.select import select
    from pg_ephemeral.cache import open_cache

    definition = definition_of(context)
    return open_cache(definition, select(definition))


def _show(report: StatusReport, *, as_json: bool) -> None:
    document: dict[str, Any] = report.to_json()
    if as_json:
        output.document(document)
        return
    output.text(f"Instance: {document['instance']}")
    output.text(f"Image:    {document['base_image']}")
    output.text(f"Version:  {document['version']}")
    output.text("")
    rows = [(seed["name"], seed["type"], seed["status"]) for seed in document["seeds"]]
    output.table([("Seed", "Type", "Status"), *rows])


def _reference(text: str) -> Reference:
    """A stage by its reference, or by its key alone. Raises ``InvalidValue``."""
    from pg_ephemeral.chain import CacheKey
    from pg_ephemeral.oci.reference import Name, Reference, Tag

    try:
        return Reference(name=Name.parse("pg-ephemeral"), tag=Tag.parse(CacheKey(text)))
    except InvalidValue:
        reference = Reference.parse(text)
    if reference.tag is None:
        raise InvalidValue(f"reference {text!r} has no tag", kind="unparsed", hint=_REFERENCE_HINT)
    try:
        CacheKey(str(reference.tag))
    except InvalidValue as error:
        raise InvalidValue(f"reference {text!r}: {error.message}", kind=error.kind, hint=_REFERENCE_HINT) from error
    return reference


_REFERENCE_HINT = "the tag of a stage is its cache key; cache status --json shows both"


def _cached_seed(cache: Cache, seeds: tuple[SeedStatus, ...], name: str | None) -> SeedStatus:
    """The seed asked for, or the last, if its stage is present. Raises ``DefinitionError`` and ``CacheError``."""
    from pg_ephemeral.plan import Status

    instance = cache.definition.instance
    if not seeds:
        raise DefinitionError(f"instance {instance!r} has no seeds, and so no stage to connect to")
    target = seeds[-1] if name is None else next((seed for seed in seeds if seed.stage.name == name), None)
    if target is None:
        known = ", ".join(seed.stage.name for seed in seeds)
        raise DefinitionError(f"instance {instance!r} has no seed {name!r}", hint=f"its seeds are: {known}")
    if target.status is Status.UNCACHEABLE:
        raise CacheError(f"seed {target.stage.name!r} of instance {instance!r} is uncacheable: it has no stage")
    if target.status is Status.MISS:
        raise CacheError(
            f"seed {target.stage.name!r} of instance {instance!r} is not cached yet",
            hint=f"pg-ephemeral cache --instance {instance} populate",
        )
    return target
