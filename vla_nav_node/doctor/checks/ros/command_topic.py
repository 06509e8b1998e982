"""Who publishes on cmd_vel, and who listens."""

from typing import Any, Dict, Iterator, List, Tuple

from .installation import why_none
from ..check import Check, failed, Finding, ok, skipped, warning
from ..place import Place


def run(place: Place) -> Iterator[Finding]:
    """Judge the endpoints of the command topic."""
    reason = why_none(place)
    commands = {} if reason else place.graph().facts.get('commands', {})
    senders, readers = commands.get('publishers', []), commands.get('subscribers', [])
    if not senders and not readers:
        yield skipped(reason or f'nobody is on {place.cmd_vel}' + elsewhere(commands))
        return
    yield from judge(commands, senders, readers)
    yield ok(f'{commands["topic"]}: {named(senders) or "nobody"} to {named(readers) or "nobody"}')


def judge(commands: Dict[str, Any], senders: List[Any], readers: List[Any]) -> Iterator[Finding]:
    """Judge who sends and who listens."""
    topic = commands['topic']
    if len(senders) > 1:
        yield failed(f'{topic} has {len(senders)} publishers: {named(senders)}; the base obeys '
                     'the newest message', 'one (a killed process stays listed for about 20 s)',
                     'stop all but one, or put a multiplexer such as twist_mux in between')
    if senders and not readers:
        yield warning(f'nobody listens to {topic}{elsewhere(commands)}', 'the base',
                      'start the base, or remap cmd_vel to its topic')
    for name, kind in deaf(senders, readers):
        sent = ', '.join(sorted({entry[1] for entry in senders}))
        yield failed(f'{name} listens to {topic} for {kind}, but {sent} is sent: it gets nothing',
                     'one type', 'start the node with '
                     f'enable_stamped_cmd_vel:={str(kind.endswith("Stamped")).lower()}')


def deaf(senders: List[Any], readers: List[Any]) -> List[Tuple[str, str]]:
    """Return name and type of those who listen only for a type that is not sent."""
    sent = {entry[1] for entry in senders}
    served = {entry[0] for entry in readers if entry[1] in sent}
    return [(entry[0], entry[1]) for entry in readers if sent and entry[0] not in served]


def named(endpoints: List[Any]) -> str:
    """Return the names of nodes."""
    return ', '.join(dict.fromkeys(entry[0] for entry in endpoints))


def elsewhere(commands: Dict[str, Any]) -> str:
    """Return a hint at other topics with commands."""
    others = commands.get('elsewhere', [])
    return f' (velocities are on {", ".join(others[:3])}: --cmd-vel TOPIC)' if others else ''


CHECK = Check('cmd-vel', 'with a command topic in the graph', 'the publishers and subscriptions '
              'of --cmd-vel, and their types', run)
