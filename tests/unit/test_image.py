"""The words of the ``image`` setting: what they mean, how they render, and how a wrong one is explained."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_ephemeral.errors import InvalidValue
from pg_ephemeral.image import ImageWord, OfficialImage, VersionRequest
from pg_ephemeral.oci.reference import Digest, Reference

HEX64 = "0123456789abcdef" * 4
DIGEST = f"@sha256:{HEX64}"
ANY = VersionRequest()

OFFICIAL = [
    ("latest", ANY, None),
    ("trixie", ANY, "trixie"),
    ("alpine3.22", ANY, "alpine3.22"),
    ("18rc1", VersionRequest(major=18, prerelease="rc1"), None),
    ("18rc1-trixie", VersionRequest(major=18, prerelease="rc1"), "trixie"),
    ("18rc1-bookworm", VersionRequest(major=18, prerelease="rc1"), "bookworm"),
    ("18rc1-alpine3.22", VersionRequest(major=18, prerelease="rc1"), "alpine3.22"),
    ("18rc1-alpine3.21", VersionRequest(major=18, prerelease="rc1"), "alpine3.21"),
    ("18rc1-alpine", VersionRequest(major=18, prerelease="rc1"), "alpine"),
    ("17", VersionRequest(major=17), None),
    ("17-trixie", VersionRequest(major=17), "trixie"),
    ("17.6", VersionRequest(major=17, minor=6), None),
    ("17.6-trixie", VersionRequest(major=17, minor=6), "trixie"),
    ("17.6-alpine3.22", VersionRequest(major=17, minor=6), "alpine3.22"),
    ("18beta1", VersionRequest(major=18, prerelease="beta1"), None),
    ("18beta1-alpine", VersionRequest(major=18, prerelease="beta1"), "alpine"),
    ("9.6", VersionRequest(major=9, minor=6), None),
    ("9.6.24", VersionRequest(major=9, minor=6, patch=24), None),
    ("9.6.24-alpine3.15", VersionRequest(major=9, minor=6, patch=24), "alpine3.15"),
    ("255.255", VersionRequest(major=255, minor=255), None),
    ("pgvector", ANY, "pgvector"),
]


# acceptance: 25, 26
# fault: W64
@pytest.mark.parametrize("digest", ["", DIGEST], ids=["tag", "digest"])
@pytest.mark.parametrize(("text", "version", "operating_system"), OFFICIAL, ids=[row[0] for row in OFFICIAL])
def test_official_image(text, version, operating_system, digest):
    image = ImageWord.parse(text + digest)
    assert image.source == OfficialImage(
        version=version,
        operating_system=operating_system,
        digest=Digest.parse(digest[1:]) if digest else None,
    )
    assert image.official
    assert image.version == version
    assert str(image) == text + digest
    assert str(image.reference) == f"docker.io/library/postgres:{text}{digest}"


# fault: W65
@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("postgres", "latest"),
        ("postgres:17", "17"),
        ("postgres:latest", "latest"),
        ("postgres:trixie", "trixie"),
        ("postgres:17.6-alpine3.22", "17.6-alpine3.22"),
        (f"postgres{DIGEST}", f"latest{DIGEST}"),
        (f"postgres:17{DIGEST}", f"17{DIGEST}"),
        ("library/postgres", "latest"),
        ("library/postgres:17", "17"),
        ("docker.io/postgres:17", "17"),
        ("docker.io/library/postgres", "latest"),
        ("docker.io/library/postgres:17", "17"),
        (f"docker.io/library/postgres:17.6-trixie{DIGEST}", f"17.6-trixie{DIGEST}"),
        ("latest-alpine", "alpine"),
        ("17.06", "17.6"),
        ("017", "17"),
        ("18rc01", "18rc1"),
        (f"17@sha256:{HEX64.upper()}", f"17{DIGEST}"),
    ],
)
def test_other_ways_of_writing_the_official_image(text, canonical):
    image = ImageWord.parse(text)
    assert image == ImageWord.parse(canonical)
    assert image.official
    assert str(image) == canonical
    assert str(image.reference) == f"docker.io/library/postgres:{canonical}"


# acceptance: 27, 28, 30
@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io/mbj/postgres:18.3-pg-footgun",
        "ghcr.io/mbj/postgres",
        "localhost:5000/postgres:17",
        "mbj/postgres:18",
        f"ghcr.io/mbj/postgres{DIGEST}",
        "my-registry.com/postgres:17",
        "registry.hub.docker.com/library/postgres:17",
        "pgvector/pgvector:pg17",
        "docker.io/library/postgres:17.6-custom_1",
        "library/postgres:pg17",
        "docker.io/library/postgres:256",
        "docker.io/library/postgres:17@sha512:" + HEX64 * 2,
    ],
)
def test_explicit_reference_is_unchanged(text):
    image = ImageWord.parse(text)
    assert not image.official
    assert image.version is None
    assert image.reference == Reference.parse(text)
    assert str(image) == str(image.reference) == text


# acceptance: 29, 36
# fault: W64
def test_official_digest_reaches_the_engine():
    image = ImageWord.parse(f"17.6{DIGEST}")
    assert str(image.reference) == f"docker.io/library/postgres:17.6{DIGEST}"
    assert image.reference.digest == Digest.parse(f"sha256:{HEX64}")


@pytest.mark.parametrize(
    ("text", "major", "minor", "prerelease"),
    [
        ("latest", None, None, None),
        ("postgres", None, None, None),
        ("trixie", None, None, None),
        ("17", 17, None, None),
        ("17.6-trixie", 17, 6, None),
        ("18rc1", 18, None, "rc1"),
        ("18beta2-alpine", 18, None, "beta2"),
        ("9.6.24", 9, 6, None),
    ],
)
def test_version_for_a_backend_without_images(text, major, minor, prerelease):
    version = ImageWord.parse(text).version
    assert version is not None
    assert (version.major, version.minor, version.prerelease) == (major, minor, prerelease)
    assert version.is_any is (major is None)


# acceptance: 31, 32, 33, 34, 35
@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", "empty", "empty image"),
        ("17rc", "unparsed", "image '17rc': cannot read 'rc' at character 3"),
        ("17-", "unparsed", "image '17-': cannot read '-' at character 3"),
        ("17.6.5", "unparsed", "image '17.6.5': cannot read '.5' at character 5"),
        ("17-9invalid", "unparsed", "image '17-9invalid': cannot read '-9invalid' at character 3"),
        ("postgres:17rc", "unparsed", "image 'postgres:17rc': cannot read 'rc' at character 12"),
        ("postgres:", "unparsed", "image 'postgres:': cannot read ':' at character 9"),
        ("latestfoo", "unparsed", "image 'latestfoo': cannot read 'foo' at character 7"),
        ("17 ", "unparsed", "image '17 ': cannot read ' ' at character 3"),
        ("17\n", "unparsed", "image '17\\n': cannot read '\\n' at character 3"),
        ("pgvector:pg17", "unparsed", "image 'pgvector:pg17': cannot read ':pg17' at character 9"),
        ("17@", "unparsed", "image '17@': cannot read '@' at character 3"),
        ("17@md5:abc", "unparsed", "image '17@md5:abc': cannot read '@md5:abc' at character 3"),
        ("17@sha256:abc", "digest", "image '17@sha256:abc': no 64 hex digits in 'abc' at character 11"),
        (
            "17.6@sha256:tooshort",
            "digest",
            "image '17.6@sha256:tooshort': no 64 hex digits in 'tooshort' at character 13",
        ),
        (
            "LATEST",
            "upper-case",
            "image 'LATEST': no version and no operating system name (lower case) in 'LATEST' at character 1",
        ),
        (
            "INVALID",
            "upper-case",
            "image 'INVALID': no version and no operating system name (lower case) in 'INVALID' at character 1",
        ),
        (
            "-17",
            "unparsed",
            "image '-17': no version and no operating system name (lower case) in '-17' at character 1",
        ),
        ("ghcr.io/mbj/postgres:", "unparsed", "reference 'ghcr.io/mbj/postgres:': cannot read ':' at character 21"),
        ("256", "out-of-range", "image '256': major version 256 is out of range"),
        ("17.256", "out-of-range", "image '17.256': minor version 256 is out of range"),
        ("9.6.256", "out-of-range", "image '9.6.256': patch number 256 is out of range"),
        ("18rc0", "out-of-range", "image '18rc0': rc number 0 is out of range"),
        ("postgres:postgres", "not-an-os", "'postgres' is no operating system name"),
        ("postgresql", "not-an-os", "'postgresql' is no operating system name"),
        ("postgres17", "not-an-os", "'postgres17' is no operating system name"),
        ("pg17", "not-an-os", "'pg17' is no operating system name"),
        ("latest-latest", "not-an-os", "'latest' is no operating system name"),
    ],
)
def test_wrong_word_is_explained(text, kind, message):
    with pytest.raises(InvalidValue) as caught:
        ImageWord.parse(text)
    assert caught.value.kind == kind
    assert caught.value.message == message
    assert caught.value.hint


def test_a_number_of_any_length_is_refused_in_our_words():
    with pytest.raises(InvalidValue) as caught:
        ImageWord.parse("9" * 9000)
    assert caught.value.kind == "out-of-range"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("LATEST", "write latest"),
        ("Postgres:17", "write postgres:17"),
        ("17-Alpine", "write 17-alpine"),
        ("ghcr.io/MyOrg/postgres:17", "write ghcr.io/myorg/postgres:17"),
    ],
)
def test_upper_case_suggests_lower_case(text, hint):
    with pytest.raises(InvalidValue) as caught:
        ImageWord.parse(text)
    assert caught.value.kind == "upper-case"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        (lambda: VersionRequest(minor=6), "unparsed"),
        (lambda: VersionRequest(major=17, minor=6, patch=1), "unparsed"),
        (lambda: VersionRequest(major=9, patch=1), "unparsed"),
        (lambda: VersionRequest(prerelease="rc1"), "unparsed"),
        (lambda: VersionRequest(major=18, minor=1, prerelease="rc1"), "unparsed"),
        (lambda: VersionRequest(major=18, prerelease="alpha"), "unparsed"),
        (lambda: VersionRequest(major=256), "out-of-range"),
        (lambda: VersionRequest(major=-1), "out-of-range"),
        (lambda: OfficialImage(operating_system="x"), "not-an-os"),
        (lambda: OfficialImage(operating_system="Trixie"), "not-an-os"),
        (lambda: OfficialImage(digest=Digest.parse(f"sha256:{HEX64.upper()}")), "digest"),
        (lambda: OfficialImage(digest=Digest.parse(f"sha512:{HEX64}")), "digest"),
        (lambda: ImageWord(source=Reference.parse("docker.io/library/postgres:17")), "ambiguous"),
        (lambda: ImageWord(source=Reference.parse("alpine")), "ambiguous"),
        (lambda: ImageWord(source=Reference.parse("foo_bar")), "unparsed"),
    ],
)
def test_values_are_checked_when_made(build, kind):
    with pytest.raises(InvalidValue) as caught:
        build()
    assert caught.value.kind == kind


numbers = st.integers(0, 255)
versions = st.one_of(
    st.just(ANY),
    st.builds(VersionRequest, major=numbers, minor=st.none() | numbers),
    st.builds(VersionRequest, major=st.integers(0, 9), minor=numbers, patch=numbers),
    st.builds(
        VersionRequest,
        major=numbers,
        prerelease=st.builds("{}{}".format, st.sampled_from(["rc", "beta"]), st.integers(1, 255)),
    ),
)
official_images = st.builds(
    OfficialImage,
    version=versions,
    operating_system=st.none() | st.sampled_from(["trixie", "bookworm", "alpine", "alpine3.22"]),
    digest=st.none() | st.just(Digest.parse(f"sha256:{HEX64}")),
)


@given(official_images)
def test_every_official_image_reads_back(source):
    image = ImageWord(source=source)
    assert ImageWord.parse(str(image)) == image
    assert ImageWord.parse(f"postgres:{image}") == image
    assert ImageWord.parse(str(image.reference)) == image


@given(st.text(alphabet="0179abcert.-:@/_ X\n", max_size=12))
def test_any_text_is_refused_or_has_one_canonical_text(text):
    try:
        image = ImageWord.parse(text)
    except InvalidValue:
        return
    assert ImageWord.parse(str(image)) == image
    assert str(ImageWord.parse(str(image))) == str(image)
