"""What a finding says in plain English: who did what, how often, for how long."""

from __future__ import annotations

from typing import NamedTuple

from tcpstates.reports.wording import counted, duration


class Figures(NamedTuple):
    """What a sentence is made from; ``longest`` in ns."""

    culprit: str
    connections: int
    clients: int
    lasting: int  # how many still were when the capture ended
    longest: int

    @property
    def who(self) -> str:
        """``"31 connections from 4 clients"``."""
        return f"{counted(self.connections, 'connection')} from {counted(self.clients, 'client')}"

    @property
    def was(self) -> str:
        """The verb's number."""
        return "was" if self.connections == 1 else "were"

    @property
    def up_to(self) -> str:
        """For how long; a single connection has no longest one."""
        return f"for {'' if self.connections == 1 else 'up to '}{duration(self.longest)}"

    @property
    def other(self) -> str:
        """The side that is not to blame."""
        return "client" if self.culprit == "server" else "server"

    @property
    def to_the_end(self) -> str:
        """How many of them still were when the capture ended."""
        if not self.lasting:
            return ""
        some = "" if self.lasting == self.connections else f"{self.lasting:,} of them "
        return f", {some}to the end of the capture"


#: One sentence per outcome that can be a finding. ``{who}`` and the like are properties of ``Figures``.
_SENTENCES: dict[str, str] = {
    "scan": "{who} {was} only probed: the segments are such as no socket sends (FIN, NULL, XMAS, a lone "
    "ACK).",
    "refused": "{who} {was} refused: a RST answered the SYN, so nothing listened on this port.",
    "unreachable": "{who} {was} ended by an ICMP error before the server could answer.",
    "no_answer": "{who} got no answer to the SYN {up_to}: the packets are dropped on the way, or nobody is "
    "there.",
    "half_open": "{who} stayed half open {up_to}{to_the_end}: the server's SYN-ACK was never acknowledged.",
    "timed_out": "{who} {was} given up after retransmitting without an answer.",
    "stuck_close_wait": "{who} sat in CLOSE_WAIT {up_to}{to_the_end}: the {other} has closed, the "
    "{culprit}'s application does not close its socket.",
    "stuck_fin_wait1": "{who} sat in FIN_WAIT1 {up_to}{to_the_end}: the {other}'s FIN is not acknowledged "
    "by the {culprit}.",
    "stuck_fin_wait2": "{who} sat in FIN_WAIT2 {up_to}{to_the_end}: the {other}'s FIN is acknowledged, but "
    "the {culprit} sends none of its own.",
    "stuck_closing": "{who} sat in CLOSING {up_to}{to_the_end}: the FINs crossed, and the {culprit} does "
    "not acknowledge the {other}'s.",
    "stuck_last_ack": "{who} sat in LAST_ACK {up_to}{to_the_end}: the {culprit} does not acknowledge the "
    "{other}'s FIN, the last step of the close.",
    "reset_by_client": "{who} {was} aborted by a RST of the client, {age} after {its} first frame.",
    "reset_by_server": "{who} {was} aborted by a RST of the server, {age} after {its} first frame.",
    "reset_stale": "{who} {was} reset because the {culprit} no longer knew of {it}.",
    "reset_while_closing": "{who} {was} reset after a FIN: the {culprit} sent data too late or left data "
    "unread, so the end of the stream may be lost.",
    "peer_vanished": "{who} got no answer any more {up_to}: retransmissions and probes went unanswered.",
    "fragment": "{who} {was} captured in too small a part to say what became of {it}.",
}


def sentence(outcome: str, figures: Figures) -> str:
    """What a finding of ``outcome`` says, in one sentence."""
    return _SENTENCES[outcome].format(
        who=figures.who,
        was=figures.was,
        up_to=figures.up_to,
        culprit=figures.culprit,
        other=figures.other,
        to_the_end=figures.to_the_end,
        age=("" if figures.connections == 1 else "at most ") + duration(figures.longest),
        its="its" if figures.connections == 1 else "their",
        it="it" if figures.connections == 1 else "them",
    )
