"""NVTX ranges: the stages of a cycle on the time line of NVIDIA's profilers."""

from typing import Any, Callable

from ..driving.cycle import StageTimer, Timing
from ..driving.loop import DrivingLoop
from ..errors import SettingError
from ..system.install_lines import pip_install
from ..types import Command

DOMAIN = 'vla_nav_node'
PUBLISH = 'publish'


class RangeTimer(StageTimer):
    """A stage timer whose stages are also NVTX ranges."""

    def __init__(self, domain: Any) -> None:
        """Prepare the attributes of each stage's range."""
        super().__init__()
        self._push, self._pop = domain.push_range, domain.pop_range
        self._ranges = {stage: domain.get_event_attributes(message=stage)
                        for stage in Timing._fields}

    def enter(self, stage: str) -> None:
        """End the range of the previous stage and begin the next one."""
        if self.stage:
            self._pop()
        super().enter(stage)
        if stage:
            self._push(self._ranges[stage])


def show_stages(loop: DrivingLoop) -> None:
    """Show the stages of a loop that is not running yet; raise SettingError without nvtx."""
    domain = _domain()
    loop.cycle.stage_timer = RangeTimer(domain)
    loop.output.send = _around(loop.output.send, domain)


def _domain() -> Any:
    try:
        import nvtx
    except ImportError as error:
        raise SettingError(f'nvtx is true, but the Python package nvtx is unavailable ({error})',
                           fix=f"{pip_install('nvtx')}, or set nvtx to false") from None
    return nvtx.get_domain(DOMAIN)


def _around(send: Callable[[Command], None], domain: Any) -> Callable[[Command], None]:
    push, pop = domain.push_range, domain.pop_range
    publish = domain.get_event_attributes(message=PUBLISH)

    def ranged(command: Command) -> None:
        push(publish)
        try:
            send(command)
        finally:
            pop()
    return ranged
