"""Records captures from real kernel sockets, and what the kernels say of them.

A scenario (``scenarios``, ``demo``) is a function that plays two hosts in a laboratory (``lab``): two
network namespaces (``namespaces``), a link that takes its time (``wire``), tcpdump at both ends. The
truth (``truth``) comes from the kernel's event trace (``trace``) and its socket tables (``diag``).
The runner (``runner``) records all scenarios at once, holds each (``recording``) to what it should show
(``expectations``, ``packets``), and the catalogue (``catalogue``) puts them into the folder above.
"""
