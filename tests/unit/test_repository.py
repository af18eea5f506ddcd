"""Where stages are kept in a registry: the template, and what registries with rules of their own need of it."""

from __future__ import annotations

import pytest

from pg_ephemeral.definition import Definition
from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.oci.reference import Registry
from pg_ephemeral.repository import DEFAULT, RepositoryTemplate

HUB = "docker.io/owner"
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


def name(template: str, registry: str | None, instance: str = "main") -> str | None:
    given = None if registry is None else Registry.parse(registry)
    found = RepositoryTemplate.parse(template).name(given, instance)
    return None if found is None else str(found)


# fault: W7
@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("ghcr.io/owner/project", "ghcr.io/owner/project/pg-ephemeral/main"),
        ("ghcr.io", "ghcr.io/pg-ephemeral/main"),
        ("localhost:5000", "localhost:5000/pg-ephemeral/main"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b/pg-ephemeral/main"),
        ("owner", "docker.io/owner/pg-ephemeral/main"),
    ],
)
def test_by_default_two_components_are_added(registry: str, expected: str) -> None:
    assert name(str(DEFAULT), registry) == expected


# fault: W8
@pytest.mark.parametrize(
    ("template", "registry", "expected"),
    [
        ("{registry}/stages-{instance}", HUB, "docker.io/owner/stages-shop"),
        ("docker.io/owner/stages", None, "docker.io/owner/stages"),
        ("{registry}/stages", ECR, f"{ECR}/stages"),
        ("{registry}", f"{ECR}/made/beforehand", f"{ECR}/made/beforehand"),
        (f"{ECR}/{{instance}}/stages", None, f"{ECR}/shop/stages"),
        ("{registry}/{instance}-{instance}", "ghcr.io", "ghcr.io/shop-shop"),
        ("{registry}-stages/{instance}", "ghcr.io/owner", "ghcr.io/owner-stages/shop"),
        ("{registry}", "owner", "docker.io/owner"),
        ("docker.io/{registry}/{instance}", "owner", "docker.io/owner/shop"),
        ("owner/{instance}", None, "docker.io/owner/shop"),
    ],
)
def test_a_template_fits_a_registry_that_allows_less(template: str, registry: str | None, expected: str) -> None:
    assert name(template, registry, "shop") == expected


# fault: W8
def test_docker_hubs_two_levels_are_served_as_they_are_written() -> None:
    from pg_ephemeral.oci.endpoint import registry_of, served_as

    found = RepositoryTemplate.parse("{registry}/stages").name(Registry.parse(HUB), "main")
    assert found is not None
    assert (registry_of(found), served_as(found)) == ("docker.io", "owner/stages")


@pytest.mark.parametrize("word", ["instnace", "", "registry "])
def test_an_unknown_placeholder_is_refused(word: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        RepositoryTemplate.parse(f"{{registry}}/{{{word}}}")
    assert caught.value.kind == "unknown-placeholder"
    assert f"{{{word}}}" in caught.value.message
    assert caught.value.hint == "use {registry} and {instance}"


@pytest.mark.parametrize("text", ["{registry}/Stages", "{registry}//x", "", "{registry}/{instance", "{registry}/a b"])
def test_what_is_no_repository_when_filled_in_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        RepositoryTemplate.parse(text)


@pytest.mark.parametrize(
    ("template", "registry"),
    [
        ("{registry}", "ghcr.io"),
        ("{registry}", "localhost:5000"),
        ("{registry}-x/{instance}", "ghcr.io"),
        ("x/{registry}/y", "ghcr.io"),
    ],
)
def test_a_template_that_leads_out_of_the_registry_is_refused(template: str, registry: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        name(template, registry)
    assert caught.value.kind == "lost-registry"
    assert repr(template) in caught.value.message
    assert f"cache_registry {registry}" in caught.value.message
    with pytest.raises(InvalidValue):
        Definition(cache_registry=Registry.parse(registry), cache_repository=RepositoryTemplate.parse(template))


def test_a_registry_that_the_template_does_not_use_is_refused() -> None:
    with pytest.raises(InvalidValue) as caught:
        name("ghcr.io/owner/{instance}", "localhost:5000")
    assert caught.value.kind == "unused-registry"
    assert "cache_registry localhost:5000 would mean nothing" in caught.value.message
    assert "{registry}" in (caught.value.hint or "")


def test_without_a_registry_there_is_none_unless_the_template_names_it() -> None:
    assert DEFAULT.needs_registry
    assert DEFAULT.name(None, "main") is None
    fixed = RepositoryTemplate.parse("ghcr.io/owner/{instance}")
    assert not fixed.needs_registry
    assert str(fixed.name(None, "main")) == "ghcr.io/owner/main"
    assert Definition().shared_repository is None
    assert str(Definition(cache_repository=fixed).shared_repository) == "ghcr.io/owner/main"


def test_it_is_written_as_it_was_read() -> None:
    for text in ("{registry}/x", "ghcr.io/{instance}"):
        assert str(RepositoryTemplate.parse(text)) == text
