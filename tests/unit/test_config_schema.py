"""The JSON Schema: that it is the one shipped, and that it and the loader judge documents alike."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import resources
from pathlib import Path

import jsonschema  # type: ignore[import-untyped] # it ships none
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.config import load
from pg_ephemeral.config.model import FILE
from pg_ephemeral.config.schema import SCHEMA_FILE, schema, schema_text
from pg_ephemeral.errors import ConfigError, InvalidValue
from pg_ephemeral.image import ImageWord
from pg_ephemeral.oci.reference import Registry
from pg_ephemeral.postgres.parameters import RESERVED
from pg_ephemeral.seeds import KINDS

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("database.toml"))
HEX64 = "0123456789abcdef" * 4

VALIDATOR = jsonschema.Draft7Validator(schema())


def takes(path):
    """Whether the loader takes a file."""
    try:
        load(path)
    except ConfigError:
        return False
    return True


def below(rules):
    """Every schema in a schema, itself included."""
    if isinstance(rules, dict):
        yield rules
        for member in rules.values():
            yield from below(member)
    elif isinstance(rules, list):
        for member in rules:
            yield from below(member)


def test_it_is_the_one_shipped():
    assert SCHEMA_FILE.read_text() == schema_text(), "make docs writes it anew"
    assert json.loads(resources.files("pg_ephemeral.config").joinpath("database.schema.json").read_text()) == schema()


def test_it_is_a_schema():
    jsonschema.Draft7Validator.check_schema(schema())
    assert schema()["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_no_table_is_open():
    tables = [rules for rules in below(schema()) if rules.get("type") == "object" and "oneOf" not in rules]
    assert len(tables) > 15
    assert all(table["additionalProperties"] is False for table in tables)


def test_every_key_has_a_description():
    for table in below(schema()):
        for name, rules in table.get("properties", {}).items():
            assert rules["description"].endswith("."), name


def test_it_has_every_key_and_kind():
    seeds = schema()["properties"]["instances"]["patternProperties"].popitem()[1]["properties"]["seeds"]
    kinds = seeds["patternProperties"].popitem()[1]["oneOf"]
    assert [kind["properties"]["type"]["const"] for kind in kinds] == list(KINDS)
    assert list(schema()["properties"]) == list(FILE.keys)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples(path):
    VALIDATOR.validate(tomllib.loads(path.read_text()))
    assert takes(path)


SEED = "[instances.main.seeds.load]\n"
CSV = f'{SEED}type = "csv-file"\npath = "x"\n'
GOOD = [
    "",
    "[instances]",
    "[instances.main]",
    "[instances.a-1.seeds]",
    'image = "17.6-alpine3.22"',
    'backend = "embedded"',
    'cache_registry = "localhost:5000/a__b/c"',
    'cache_registry = "[::1]:5000"',
    "test_profile = false",
    'wait_available_timeout = " 1m 30 s "',
    'database = "größe 1"\nsuperuser = "x"',
    'superuser = "publican"',
    'ssl_config.hostname = "db-1.Example.com"',
    '[parameters]\na = "x"\nb = 1\nc = 1.5\nd = true\n"e.f" = ""',
    f'{SEED}type = "sql-file"\npath = "x.sql"',
    f'{SEED}type = "sql-file"\npath = "x.sql"\ngit_revision = "v1.0~1"',
    f'{SEED}type = "sql-statement"\nstatement = """\nSELECT 1;\n"""',
    f'{CSV}table = {{ schema = "public", table = "T x" }}',
    f'{CSV}table = {{ schema = "s", table = "t" }}\ndelimiter = "\\t"\nquote = "|"',
    f'{CSV}table = {{ schema = "s", table = "t" }}\nnull = "\\\\N"\nencoding = "LATIN1"',
    f'{SEED}type = "command"\ncommand = "./bin/x"',
    f'{SEED}type = "command"\ncommand = "x"\narguments = ["a", ""]\ncache = {{ type = "none" }}',
    f'{SEED}type = "script"\nscript = "x"',
    f'{SEED}type = "script"\nscript = "x"\ncache = {{ type = "command-hash" }}',
    f'{SEED}type = "script"\nscript = "x"\ncache = {{ type = "key-command", command = "x", arguments = ["y"] }}',
    f'{SEED}type = "script"\nscript = "x"\ncache = {{ type = "key-script", script = "x" }}',
    f'{SEED}type = "script"\nscript = "x"\ncache = {{ type = "key-paths", paths = ["x/**"] }}',
    f'{SEED}type = "container-script"\nscript = "x"',
    f"[instances.main.seeds.{'a' * 63}]\ntype = 'script'\nscript = 'x'",
]
BAD = [
    "unknown = 1",
    "image = 17",
    'image = "INVALID"',
    'image = "17.6@sha256:tooshort"',
    'image = "postgres:"',
    'backend = "dokcer"',
    'superuser = "pg_admin"',
    'superuser = "public"',
    'cache_registry = "https://ghcr.io"',
    'cache_registry = ""',
    'cache_registry = "ghcr.io/owner@sha256:x"',
    'test_profile = "on"',
    "wait_available_timeout = 30",
    'wait_available_timeout = "30"',
    'wait_available_timeout = "1.5s"',
    'database = ""',
    f'superuser = "{"x" * 64}"',
    'superuser = "x\\u0000"',
    "ssl_config = {}",
    'ssl_config.hostname = "a..b"',
    'ssl_config = { hostname = "x", port = 1 }',
    '[parameters]\n"9x" = 1',
    "[parameters]\na.b = 1",
    "[parameters]\na = []",
    *(f'[parameters]\n{name} = "x"' for name in RESERVED),
    '[instances.main.parameters]\nport = "x"',
    "[instances.Main]",
    "[instances.main-]",
    "instances = []",
    '[instances.main]\nbackend = "docker"',
    "[instances.main]\nunknown = 1",
    f"[instances.main.seeds.{'a' * 64}]\ntype = 'script'\nscript = 'x'",
    "[instances.main.seeds.-x]\ntype = 'script'\nscript = 'x'",
    SEED,
    f'{SEED}type = "sql"',
    f'{SEED}type = "sql-file"',
    f'{SEED}type = "sql-file"\npath = ""',
    f'{SEED}type = "sql-file"\npath = "x"\nunknown = 1',
    f'{SEED}type = "sql-file"\npath = "x"\ngit_revision = "--x"',
    f'{SEED}type = "sql-file"\npath = "x"\ncache = {{ type = "none" }}',
    f'{SEED}type = "sql-statement"\nstatement = ""',
    f'{CSV}table = "t"',
    f'{CSV}table = {{ table = "t" }}',
    f'{CSV}table = {{ schema = "s", table = "t", unknown = 1 }}',
    f'{CSV}table = {{ schema = "s", table = "t" }}\ndelimiter = ""',
    f'{CSV}table = {{ schema = "s", table = "t" }}\ndelimiter = "é"',
    f'{CSV}table = {{ schema = "s", table = "t" }}\nquote = "\\n"',
    f'{CSV}table = {{ schema = "s", table = "t" }}\nnull = "a\\nb"',
    f'{SEED}type = "command"',
    f'{SEED}type = "command"\ncommand = "x"\narguments = "y"',
    f'{SEED}type = "command"\ncommand = "x"\narguments = [1]',
    f'{SEED}type = "script"\nscript = "x"\ncache = "none"',
    f'{SEED}type = "script"\nscript = "x"\ncache = {{}}',
    f'{SEED}type = "script"\nscript = "x"\ncache = {{ type = "none", command = "x" }}',
    f'{SEED}type = "script"\nscript = "x"\ncache = {{ type = "key-command" }}',
    f'{SEED}type = "script"\nscript = "x"\ncache = {{ type = "key-paths", paths = [] }}',
    f'{SEED}type = "container-script"\nscript = "x"\ncache = {{ type = "none" }}',
]


@pytest.mark.parametrize(("text", "good"), [*((text, True) for text in GOOD), *((text, False) for text in BAD)])
def test_schema_and_loader_agree(tmp_path, text, good):
    path = tmp_path / "database.toml"
    path.write_text(text)
    assert takes(path) is good
    assert VALIDATOR.is_valid(tomllib.loads(text)) is good


# What only the loader can know.
@pytest.mark.parametrize(
    "text",
    [
        'image = "256"',
        'wait_available_timeout = "0s"',
        f'superuser = "{"é" * 32}"',
        '[parameters]\nPort = "1"',
        '[parameters]\nssl = "on"\n[ssl_config]\nhostname = "x"',
        f'{CSV}table = {{ schema = "s", table = "t" }}\nencoding = "utf-9"',
    ],
)
def test_the_loader_knows_more(tmp_path, text):
    path = tmp_path / "database.toml"
    path.write_text(text)
    assert not takes(path)
    assert VALIDATOR.is_valid(tomllib.loads(text))


def reads(parse, text):
    try:
        parse(text)
    except InvalidValue:
        return False
    return True


WORDS = st.sampled_from(
    [
        *("17", "9", "24", "rc1", "beta2", "latest", "postgres", "trixie", "alpine3.22", "library", "ghcr.io", "[::1]"),
        *("5000", f"sha256:{HEX64}", f"sha512:{HEX64}{HEX64}", ".", "-", "/", ":", "@", "A", "_", " ", "\n"),
    ]
)


@pytest.mark.parametrize(("key", "parse"), [("image", ImageWord.parse), ("cache_registry", Registry.parse)])
@given(words=st.lists(WORDS, max_size=6))
def test_what_the_loader_takes_the_schema_takes(key, parse, words):
    text = "".join(words)
    if reads(parse, text):
        assert re.search(schema()["properties"][key]["pattern"], text)
