"""Dask's workers and their scheduler, and how they fail."""

from __future__ import annotations

import errno
import logging
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, TypeVar

from tcpstates.capture.ahead import processors
from tcpstates.distributed.plan import program
from tcpstates.errors import ClusterError, UsageError

#: Seconds to wait for the first worker.
PATIENCE = 60
#: Seconds after which to look whether the scheduler is still there.
_LOOK = 1

Done = queue.SimpleQueue[Any]

_Result = TypeVar("_Result")
_Given = TypeVar("_Given")


class Cluster:
    """Gives out work, and turns what fails into one line.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.check()

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def check(self) -> None:
        """See that there are workers, and that they run the same program.

        Raises
        ------
        ClusterError
            If there are none, or they run another one.
        """
        with _one_line():
            self._client.wait_for_workers(1, timeout=PATIENCE)
            others = {worker for worker, said in self._client.run(program).items() if said != program()}
        if others:
            raise ClusterError(
                f"{len(others)} workers run another version of tcpstates, such as {sorted(others)[0]}; "
                "install the same one everywhere"
            )

    def map(
        self,
        work: Callable[..., _Result],
        given: Sequence[Any],
        *same: Any,
        note: Callable[[int, _Result], None],
    ) -> list[_Result]:
        """Have ``work(one, *same)`` done for each that is given, and be told as each is done.

        Raises
        ------
        TcpstatesError
            What the work raised.
        ClusterError
            If the cluster fails.
        """
        results: list[Any] = [None] * len(given)
        done: Done = queue.SimpleQueue()
        with _one_line():
            futures = {
                self._client.submit(work, one, *same, pure=False): place for place, one in enumerate(given)
            }
            try:
                for future in futures:
                    future.add_done_callback(done.put)
                for _ in given:
                    future = self._next(done)
                    results[futures[future]] = future.result()
                    note(futures[future], results[futures[future]])
            finally:
                if self._client.status == "running":
                    self._client.cancel(list(futures))
        return results

    def _next(self, done: Done) -> Any:
        """What is done next; it never is once the scheduler is lost."""
        while True:
            try:
                return done.get(timeout=_LOOK)
            except queue.Empty:
                if self._client.status == "closed":
                    raise ConnectionError from None

    def map_shared(
        self,
        work: Callable[..., _Result],
        shared: Any,
        given: Sequence[Any],
        *same: Any,
        note: Callable[[int, _Result], None],
    ) -> list[_Result]:
        """The same for ``work(shared, one, *same)``, where what is shared is large: it is sent once."""
        with _one_line():
            sent = self._client.scatter(shared, broadcast=True, hash=False)
        return self.map(_swapped, [*given], work, sent, *same, note=note)


def _swapped(one: Any, work: Callable[..., _Result], shared: Any, *same: Any) -> _Result:
    return work(shared, one, *same)


@contextmanager
def _one_line() -> Iterator[None]:
    """What goes wrong with a cluster is one line."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError
    from distributed.comm.core import CommClosedError

    lost = (CommClosedError, FutureCancelledError, CancelledError, ConnectionError)
    try:
        yield
    except KilledWorker as error:
        raise ClusterError(
            "workers died again and again at the same task, of too little memory perhaps; "
            f"the last was {error.last_worker.address}, whose log may say why"
        ) from error
    except lost as error:
        raise ClusterError(
            "the scheduler was lost; with --workdir, run it again to go on from here"
        ) from error
    except TimeoutError as error:
        raise ClusterError(f"no worker came within {PATIENCE} s; start some (dask worker ADDRESS)") from error
    except OSError as error:
        raise _about_disk(error) from error


def _about_disk(error: OSError) -> ClusterError:
    reason = (error.strerror or str(error)).lower()
    advice = "workers need the captures and --workdir at the same paths as here"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "free some, or name another place with --workdir, and run it again"
    return ClusterError(f"{error.filename or 'a worker'}: {reason}; {advice}")


@contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """A client of a cluster at an address, or of workers of one's own.

    Parameters
    ----------
    scheduler : ``tcp://HOST:PORT``, ``local`` for as many workers as there are processors, ``local:N``.
    """
    try:
        import distributed
    except ImportError:
        raise UsageError(
            "distributed is not installed; pip install 'tcpstates[distributed]' brings it"
        ) from None
    for name in logging.root.manager.loggerDict:  # what matters is said by us, in one line
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler == "local" or scheduler.startswith("local:"):
        with _local(scheduler) as client:
            yield client
        return
    try:
        client = distributed.Client(scheduler)
    except (OSError, ValueError) as error:
        raise ClusterError(f"{scheduler}: no scheduler answers; start one (dask scheduler)") from error
    with client:
        yield client


@contextmanager
def _local(scheduler: str) -> Iterator[Any]:
    """Workers of one's own, one thread each."""
    from distributed import Client, LocalCluster

    count = scheduler.partition(":")[2]
    if scheduler != "local" and not (count.isdigit() and int(count)):
        raise UsageError(f"--scheduler cannot be {scheduler!r}; use local, local:4 or tcp://HOST:PORT")
    with (
        LocalCluster(
            n_workers=int(count) if count else processors(),
            threads_per_worker=1,
            processes=True,
            memory_limit=None,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
