"""What is written where a terminal or a file takes not all characters."""

from __future__ import annotations

import codecs

#: The name by which a stream is told to write so: ``stream.reconfigure(errors=SPELT)``.
SPELT = "tcpstates.spelt"
#: What is read as well, and is as wide: columns stay below each other.
_INSTEAD = {"µ": "u", "…": "~"}


def _spelt(error: UnicodeError) -> tuple[str, int]:
    """Of what cannot be encoded, what is written instead: its number if there is nothing better."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_INSTEAD.get(one) or ascii(one)[1:-1] for one in text), error.end


codecs.register_error(SPELT, _spelt)
