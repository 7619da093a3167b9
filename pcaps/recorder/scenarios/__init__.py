"""What is recorded: each module registers its scenarios when it is imported.

``examples`` and ``demo`` give the captures for people, and with the others those that prove the analysis.
"""

from . import closing, crowds, demo, examples, losing, opening, resets, silence, strangers, unreachable, views

__all__ = [
    "closing",
    "crowds",
    "demo",
    "examples",
    "losing",
    "opening",
    "resets",
    "silence",
    "strangers",
    "unreachable",
    "views",
]
