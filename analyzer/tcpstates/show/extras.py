"""What is installed only on demand: imported when it is used, with one line of advice where it is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tcpstates.errors import UsageError


def needed(module: str, what: str, extra: str) -> Any:
    """The module of that name.

    Parameters
    ----------
    module : its dotted name.
    what : what needs it, as the subject of a sentence.
    extra : the extra of the package that brings it.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".")[0]
        if error.name is None or error.name.split(".")[0] != package:
            raise
        raise UsageError(f"{what} {package}, which is missing: pip install 'tcpstates[{extra}]'") from None
