"""Names of character encodings, PostgreSQL's and Python's, as the one Python reads by."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from typing import Final

from pg_ephemeral.errors import InvalidValue

BYTE_ORDER_MARK: Final = "\ufeff"

UTF_8: Final = "utf-8"

_WINDOWS: Final = r"win(\d+)"
#: PostgreSQL's names (manual, 24.3) that Python does not know, beside those of Windows code pages.
_ALIASES: Final = {
    "koi8r": "koi8_r",
    "koi8u": "koi8_u",
    "koi8": "koi8_r",
    "alt": "cp866",
    "win": "cp1251",
    "unicode": "utf-8",
}


def codec(name: str) -> codecs.CodecInfo:
    """The codec of an encoding's name. Raises ``InvalidValue`` of kind ``invalid-encoding``, if it is none of text."""
    lowered = name.lower()
    try:
        found = codecs.lookup(_ALIASES.get(lowered, re.sub(_WINDOWS, r"cp\1", lowered)))
        with suppress(UnicodeError):  # only a codec that is none of text has something else against four zeros
            b"\0\0\0\0".decode(found.name)
    except (LookupError, ValueError):
        raise InvalidValue(
            f"there is no encoding {name!r}", kind="invalid-encoding", hint="as in utf-8, latin1, win1252, utf-16"
        ) from None
    return found


def python_encoding(name: str) -> str:
    """Python's own name of an encoding, the same for all its spellings; whoever reads drops a byte order mark.

    Raises ``InvalidValue`` as ``codec`` does.
    """
    found = codec(name).name
    return UTF_8 if found == "utf-8-sig" else found
