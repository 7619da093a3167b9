"""Records captures from real kernel sockets, and what the kernels say of them.

A scenario (``scenarios``) is a function that plays two hosts in a laboratory (``lab``): two network
namespaces (``namespaces``), a link that takes its time and more (``link``, ``wire``), somebody between them
who forges segments (``forge``), tcpdump at both ends.

The truth comes from the kernel's event trace (``trace``) and its socket tables (``diag``, both in ``truth``),
and, as these do not tell all of mini-sockets, from programs at the tracepoints of their timers (``btf``,
``probes``, ``minisockets``); all sources together are resolved to who was in which state when (``spans``).

The runner (``runner``) records scenarios, several at once, and holds each (``recording``) to what it should
show (``expectations``, ``packets``). ``catalogue`` puts the examples for people into the folder above,
``kernel`` what the analysis is proved by into the folder of its name.
"""
