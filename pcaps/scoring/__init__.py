"""How the inferred timeline agrees with the kernels' word: a developer's measure, not part of the package.

What is compared is one true *socket* with one inferred side of a connection, both as a *life*: its states in
order of time. Only the captured time counts, from a capture's first record to its last.

- Time: each true socket's, and that in which a side is said to live while its socket does not. Left out is
  one round trip (with all of the link's jitter) and 5 ms before and after each true change, birth and death
  included: so long may news be on its way. What is left is *right*, *wrong*, *unknown* (UNKNOWN was said) or
  *silent* (the connection's first frame was yet to come).
- Sequence: *exact* if the states are the kernel's in order, those of no length included; *lenient* if they
  are so once any states that lasted less than what is left out above may be missing or added, on either side.
  States so close to the capture's end (to a connection's first frame, if its socket is older than that)
  may be seen or not.
- Sockets: *unseen* if no frame of its 4-tuple was captured in its life (not counted as missed, nor is its
  time); *missed* if there are frames but no side that lives with it; *invented* is a side that lives without
  a socket. A socket and a side are paired one to one, by 4-tuple and by how long both live together.
- netstat: for each look at the kernel's table, rows (local, remote, state) that are equal, only ours or only
  theirs; without 4-tuples that changed within the time left out above, and without unseen sockets. Listeners
  apart: ours are known only once they have answered.
"""
