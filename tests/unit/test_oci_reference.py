"""The OCI reference grammar: what is read, what is refused and how, and that every value renders back to its text."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.oci.domain import Domain, DomainComponent, DomainName, Host, Port
from pg_ephemeral.oci.reference import (
    Algorithm,
    Digest,
    Name,
    Path,
    PathComponent,
    Reference,
    Registry,
    Tag,
)

HEX32 = "0123456789abcdef" * 2
HEX64 = HEX32 * 2

ACCEPTED: list[tuple[Any, str]] = [
    *((DomainComponent, text) for text in ("example", "my-registry", "my--registry", "Example1")),
    *((DomainName, text) for text in ("docker.io", "ghcr.io", "GHCR.io", "localhost")),
    *((Port, text) for text in ("5000", "8080", "0", "65535", "05000")),
    *((Host, text) for text in ("docker.io", "192.168.1.1", "[::1]", "[0:0::1]", "999.999.999.999")),
    *((Domain, text) for text in ("docker.io", "localhost:5000", "[::1]:5000", "[::1]", "myproject")),
    *(
        (PathComponent, text)
        for text in (
            "alpine",
            "my_image-name.test",
            "foo-bar",
            "foo--bar",
            "foo---bar",
            "foo__bar",
            "foo.bar",
            "a-b_c.d__e---f",
            "pg-ephemeral",
            "foo_bar",
            "0",
        )
    ),
    *((Path, text) for text in ("library/alpine", "owner/repo/subpath", "alpine", "ghcr.io")),
    *(
        (Name, text)
        for text in (
            "alpine",
            "docker.io/library/alpine",
            "pg-ephemeral/main",
            "localhost/pg-ephemeral/main",
            "myhost:5000/myimage",
            "myorg/myproject/myimage",
            "ghcr.io/myorg",
            "ghcr.io",
            "[::1]:5000/a",
            "[::1]/a",
            "GHCR.io/a",
            "foo_bar.com/a",
            "999.999.999.999/a",
        )
    ),
    *((Tag, text) for text in ("latest", "v1.2.3-alpine", "_latest", "A", "x" * 128)),
    *((Algorithm, text) for text in ("sha256", "sha512", "sha256+b64.x-y_z")),
    *((Digest, text) for text in (f"sha256:{HEX32}", f"sha256:{HEX64}", f"sha256:{HEX64.upper()}")),
    *(
        (Reference, text)
        for text in (
            "alpine",
            "alpine:latest",
            f"alpine@sha256:{HEX32}",
            "docker.io/library/alpine:latest",
            f"docker.io/library/alpine:3.18@sha256:{HEX32}",
            "localhost:5000",
            "localhost:5000/alpine:3",
            "[::1]:5000/alpine:3",
            "GHCR.io/a:B",
        )
    ),
    *(
        (Registry, text)
        for text in ("ghcr.io", "localhost:5000", "localhost", "[::1]:5000", "ghcr.io/owner/db", "owner", "foo_bar.com")
    ),
]

REFUSED: list[tuple[Any, str, str]] = [
    (DomainComponent, "", "empty"),
    *((DomainComponent, text, "unparsed") for text in ("-example", "example-", "_invalid", "@invalid", "a.b", "a\n")),
    (DomainName, "", "empty"),
    *((DomainName, text, "unparsed") for text in (".example.com", "example.", "a..b", "a:1")),
    (Port, "", "empty"),
    *((Port, text, "unparsed") for text in ("abc", "+80", "80 ", "٣")),
    *((Port, text, "out-of-range") for text in ("123456", "65536", "9" * 9000)),
    (Host, "", "empty"),
    *((Host, text, "unparsed") for text in ("[::1", "[1::2::3]", "[fe80::1%eth0]", "::1", "[192.168.1.1]", "a b")),
    (Domain, "", "empty"),
    *((Domain, text, "unparsed") for text in ("localhost:", ":5000", "a:b", "a/b")),
    (Domain, "localhost:70000", "out-of-range"),
    (PathComponent, "", "empty"),
    (PathComponent, "ALPINE", "upper-case"),
    *(
        (PathComponent, text, "unparsed")
        for text in ("_alpine", ".alpine", "-alpine", "foo-", "a___b", "a..b", "a._b", "a/b", "Foo-", "é")
    ),
    (Path, "", "empty"),
    *((Path, text, "unparsed") for text in ("/alpine", "library//alpine", "library/", "a:b")),
    (Path, "library/Alpine", "upper-case"),
    (Name, "", "empty"),
    *(
        (Name, text, "unparsed")
        for text in ("bad name with spaces", "localhost:5000", "ghcr.io/", "https://ghcr.io/a", "a:1/", "a\n")
    ),
    *((Name, text, "upper-case") for text in ("ghcr.io/MyOrg", "MyOrg/app", "LOCALHOST/app")),
    (Name, "host:99999/a", "out-of-range"),
    (Tag, "", "empty"),
    *((Tag, text, "unparsed") for text in (".latest", "-latest", "x" * 129, "a:b", "a\n")),
    (Algorithm, "", "empty"),
    *((Algorithm, text, "unparsed") for text in ("256", "sha256+", "sha256:")),
    (Digest, "", "empty"),
    *(
        (Digest, text, "unparsed")
        for text in (f"sha256{HEX32}", f"sha256:{HEX32[:16]}", f"sha256:{HEX64}gh", f":{HEX32}", HEX32)
    ),
    (Reference, "", "empty"),
    (Reference, "ALPINE", "upper-case"),
    *(
        (Reference, text, "unparsed")
        for text in ("alpine:", "alpine@", "alpine@sha256:tooshort", "alpine!latest", f"a@sha256:{HEX32}:tag", "a:b:c")
    ),
    (Registry, "", "empty"),
    (Registry, "ghcr.io/MyOrg", "upper-case"),
    (Registry, "MyOrg", "upper-case"),
    *(
        (Registry, text, "unparsed")
        for text in ("https://ghcr.io", "ghcr.io/", "ghcr.io/owner:tag", "/owner", "localhost:", "a b")
    ),
    (Registry, "localhost:99999", "out-of-range"),
]


# acceptance: 142, 146
@pytest.mark.parametrize(("kind", "text"), ACCEPTED, ids=lambda value: getattr(value, "__name__", repr(value)[:40]))
def test_accepted_text_renders_back(kind, text):
    assert str(kind.parse(text)) == text
    assert kind.parse(text) == kind.parse(text)
    assert hash(kind.parse(text)) == hash(kind.parse(text))


# acceptance: 143, 146
@pytest.mark.parametrize(
    ("kind", "text", "error_kind"), REFUSED, ids=lambda value: getattr(value, "__name__", repr(value)[:40])
)
def test_refused_text_says_why(kind, text, error_kind):
    with pytest.raises(InvalidValue) as caught:
        kind.parse(text)
    assert caught.value.kind == error_kind
    assert caught.value.hint
    assert "\n" not in caught.value.message


# acceptance: 144
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docker.io", True),
        ("myhost:5000", True),
        ("localhost", True),
        ("localhost:5000", True),
        ("192.168.1.1", True),
        ("[::1]", True),
        ("myproject", False),
        ("LOCALHOST", False),
    ],
)
def test_domain_looks_like_a_registry(text, expected):
    assert Domain.parse(text).is_registry is expected


# acceptance: 142
@pytest.mark.parametrize(
    ("text", "domain", "path"),
    [
        ("alpine", None, ["alpine"]),
        ("docker.io/library/alpine", "docker.io", ["library", "alpine"]),
        ("pg-ephemeral/main", None, ["pg-ephemeral", "main"]),
        ("localhost/pg-ephemeral/main", "localhost", ["pg-ephemeral", "main"]),
        ("myhost:5000/myimage", "myhost:5000", ["myimage"]),
        ("myorg/myproject/myimage", None, ["myorg", "myproject", "myimage"]),
        ("ghcr.io/myorg", "ghcr.io", ["myorg"]),
        ("ghcr.io", None, ["ghcr.io"]),
        ("foo_bar.com/a", None, ["foo_bar.com", "a"]),
    ],
)
def test_name_parts(text, domain, path):
    name = Name.parse(text)
    assert name.domain == (Domain.parse(domain) if domain else None)
    assert [str(component) for component in name.path.components] == path


# acceptance: 142
@pytest.mark.parametrize(
    ("text", "name", "tag", "digest"),
    [
        ("alpine", "alpine", None, None),
        ("alpine:latest", "alpine", "latest", None),
        (f"alpine@sha256:{HEX32}", "alpine", None, f"sha256:{HEX32}"),
        (f"docker.io/library/alpine:3.18@sha256:{HEX32}", "docker.io/library/alpine", "3.18", f"sha256:{HEX32}"),
        ("localhost:5000", "localhost", "5000", None),
        ("localhost:5000/a", "localhost:5000/a", None, None),
        ("[::1]:5000/a:b", "[::1]:5000/a", "b", None),
    ],
)
def test_reference_parts(text, name, tag, digest):
    assert Reference.parse(text) == Reference(
        name=Name.parse(name),
        tag=Tag.parse(tag) if tag else None,
        digest=Digest.parse(digest) if digest else None,
    )


# acceptance: 142
@pytest.mark.parametrize(
    ("text", "address", "name"),
    [
        ("docker.io", None, 2),
        ("999.999.999.999", None, 4),
        ("010.0.0.1", None, 4),
        ("192.168.1.1", IPv4Address("192.168.1.1"), None),
        ("[::1]", IPv6Address("::1"), None),
    ],
)
def test_host_is_an_address_or_a_name(text, address, name):
    host = Host.parse(text)
    assert host.address == address
    assert (len(host.name.components) if host.name else None) == name


def test_port_is_a_number_and_keeps_its_digits():
    assert Port.parse("05000").number == 5000
    assert Port.parse("0").number == 0
    assert Port.parse("5000").number == 5000


# acceptance: 145
def test_name_from_a_json_string():
    name = Name.parse(json.loads('"ghcr.io/myorg"'))
    assert str(name.domain) == "ghcr.io"
    assert str(name.path) == "myorg"
    with pytest.raises(InvalidValue):
        Name.parse(json.loads('"bad name"'))


@pytest.mark.parametrize(
    ("kind", "text", "suggestion"),
    [
        (PathComponent, "ALPINE", "alpine"),
        (Name, "ghcr.io/MyOrg", "ghcr.io/myorg"),
        (Registry, "GHCR.io/MyOrg/DB", "GHCR.io/myorg/db"),
        (Reference, f"Host:5000/MyOrg:Tag@sha256:{HEX32.upper()}", f"Host:5000/myorg:Tag@sha256:{HEX32.upper()}"),
    ],
)
def test_upper_case_suggests_lower_case(kind, text, suggestion):
    with pytest.raises(InvalidValue) as caught:
        kind.parse(text)
    assert caught.value.hint == f"write {suggestion}"
    assert str(kind.parse(suggestion)) == suggestion


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Reference, "ghcr.io/a:", "reference 'ghcr.io/a:': cannot read ':' at character 10"),
        (Name, "bad name", "name 'bad name': cannot read ' name' at character 4"),
        (Digest, f"sha256:{HEX64}gh", f"digest 'sha256:{HEX64}gh': cannot read 'gh' at character 72"),
        (PathComponent, "-a", "path component '-a': cannot read '-a' at character 1"),
    ],
)
def test_message_shows_the_rest_and_its_place(kind, text, message):
    with pytest.raises(InvalidValue) as caught:
        kind.parse(text)
    assert caught.value.message == message


def test_path_grows_and_is_never_empty():
    path = Path(components=(PathComponent.parse("a"),))
    assert str(path.extended("b", PathComponent.parse("c"))) == "a/b/c"
    assert str(path) == "a"
    with pytest.raises(InvalidValue) as caught:
        Path(components=())
    assert caught.value.kind == "empty"
    with pytest.raises(InvalidValue):
        path.extended("b/c")


def test_domain_name_is_never_empty():
    with pytest.raises(InvalidValue) as caught:
        DomainName(components=())
    assert caught.value.kind == "empty"


def test_name_extended_keeps_its_domain():
    assert str(Name.parse("ghcr.io/owner").extended("app", "main")) == "ghcr.io/owner/app/main"


# fault: W7
def test_a_path_never_turns_into_a_domain():
    with pytest.raises(InvalidValue) as caught:
        Name.parse("ghcr.io").extended("pg-ephemeral", "main")
    assert caught.value.kind == "ambiguous"


@pytest.mark.parametrize(
    "build",
    [
        lambda: Name(domain=Domain.parse("myproject"), path=Path.parse("a")),
        lambda: Name(path=Path.parse("localhost/a")),
        lambda: Registry(domain=Domain.parse("myproject")),
        lambda: Registry(path=Path.parse("ghcr.io")),
    ],
)
def test_values_that_would_read_back_differently_are_refused(build):
    with pytest.raises(InvalidValue) as caught:
        build()
    assert caught.value.kind == "ambiguous"


# fault: W7
@pytest.mark.parametrize(
    ("text", "domain", "repository"),
    [
        ("ghcr.io", "ghcr.io", "ghcr.io/pg-ephemeral/main"),
        ("localhost:5000", "localhost:5000", "localhost:5000/pg-ephemeral/main"),
        ("localhost", "localhost", "localhost/pg-ephemeral/main"),
        ("ghcr.io/owner", "ghcr.io", "ghcr.io/owner/pg-ephemeral/main"),
        ("owner/db", None, "owner/db/pg-ephemeral/main"),
    ],
)
def test_registry_places_repositories(text, domain, repository):
    registry = Registry.parse(text)
    name = registry.repository("pg-ephemeral", PathComponent.parse("main"))
    assert str(name) == repository
    assert Name.parse(repository) == name
    assert name.domain == registry.domain == (Domain.parse(domain) if domain else None)


def test_registry_needs_something_and_a_repository_too():
    with pytest.raises(InvalidValue) as caught:
        Registry()
    assert caught.value.kind == "empty"
    with pytest.raises(InvalidValue) as caught:
        Registry.parse("ghcr.io").repository()
    assert caught.value.kind == "empty"
    assert str(Registry.parse("ghcr.io/owner").repository()) == "ghcr.io/owner"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_hex_of_a_digest_is_a_tag(algorithm):
    digest = Digest.parse(f"{algorithm}:{HEX64 * (2 if algorithm == 'sha512' else 1)}")
    assert str(Tag.parse(digest.hex)) == digest.hex


@pytest.mark.parametrize(
    ("kind", "ordered"),
    [
        (Port, ["80", "443", "5000", "10000"]),
        (Domain, ["a.io", "a.io:80", "a.io:443", "b.io"]),
        (Path, ["a", "a/b", "a/c", "b"]),
        (Name, ["a", "b/c", "a.io/a", "a.io/b", "b.io/a"]),
        (Reference, ["a", f"a@sha256:{HEX32}", "a:1", f"a:1@sha256:{HEX32}", "a:2", "b"]),
        (Registry, ["a", "a.io", "a.io/a", "b.io"]),
    ],
)
def test_order_is_structural_and_absent_comes_first(kind, ordered):
    values = [kind.parse(text) for text in ordered]
    backwards = values[::-1]
    assert sorted(backwards) == values
    assert values[0] <= values[0]
    assert values[-1] > values[0]


path_components = st.from_regex(r"[a-z0-9]{1,4}((__|[_.]|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)
paths = st.lists(path_components, min_size=1, max_size=4).map("/".join)
hosts = st.one_of(
    st.from_regex(r"[A-Za-z0-9]{1,4}(-{1,2}[A-Za-z0-9]{1,3})?(\.[A-Za-z0-9]{1,4}){1,2}", fullmatch=True),
    st.just("localhost"),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
ports = st.integers(0, 65535).map(str)
domains = st.one_of(hosts, st.builds("{}:{}".format, hosts, ports), st.builds("build{}:{}".format, ports, ports))
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.from_regex(r"(sha256|sha512|a[+._-]b):[0-9A-Fa-f]{32,40}", fullmatch=True)
names = st.one_of(paths, st.builds("{}/{}".format, domains, paths))
references = st.builds(
    lambda name, tag, digest: f"{name}{tag}{digest}",
    names,
    st.one_of(st.just(""), tags.map(":{}".format)),
    st.one_of(st.just(""), digests.map("@{}".format)),
)


@given(references)
def test_every_reference_renders_back_and_its_parts_read_alone(text):
    reference = Reference.parse(text)
    assert str(reference) == text
    assert Name.parse(str(reference.name)) == reference.name
    assert Path.parse(str(reference.name.path)) == reference.name.path


@given(domains, paths)
def test_a_domain_before_a_path_is_found(domain, path):
    name = Name.parse(f"{domain}/{path}")
    assert name == Name(domain=Domain.parse(domain), path=Path.parse(path))


@given(st.one_of(domains, st.builds("{}/{}".format, domains, paths)), st.lists(path_components, min_size=1, max_size=2))
def test_a_registry_stands_before_every_repository(text, components):
    registry = Registry.parse(text)
    assert str(registry) == text
    name = registry.repository(*components)
    assert str(name) == "/".join([text, *components])
    assert Name.parse(str(name)) == name


@given(st.text(alphabet="aB0._-:/@[]\n é", max_size=12))
def test_any_text_is_read_back_or_refused(text):
    for kind in (Domain, Host, Path, Name, Tag, Digest, Reference, Registry):
        try:
            value = kind.parse(text)
        except InvalidValue:
            continue
        assert str(value) == text


@given(st.lists(references, max_size=6))
def test_sorting_does_not_depend_on_the_order_given(texts):
    values = [Reference.parse(text) for text in texts]
    backwards = values[::-1]
    assert sorted(values) == sorted(backwards)
