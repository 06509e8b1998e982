"""
The state machine of a managed node, with its services and its event topic.

States, transitions and labels are those of rcl_lifecycle and of its design article:
https://design.ros2.org/articles/node_lifecycle.html. rclpy's own LifecycleNode is not used: up to
Jazzy an impossible transition ends the process (rclpy#1209), up to Kilted it swallows what a
transition raises, and get_state waits for change_state, which here may build an engine for
minutes.
"""

from threading import Lock
import time
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Tuple

from lifecycle_msgs import msg
from lifecycle_msgs.srv import (
    ChangeState, GetAvailableStates, GetAvailableTransitions, GetState)
from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from ..doctor.symptoms import explained
from ..errors import VlaNavError
from ..system.threads import describe

UNCONFIGURED = msg.State.PRIMARY_STATE_UNCONFIGURED
INACTIVE = msg.State.PRIMARY_STATE_INACTIVE
ACTIVE = msg.State.PRIMARY_STATE_ACTIVE
FINALIZED = msg.State.PRIMARY_STATE_FINALIZED
CONFIGURING = msg.State.TRANSITION_STATE_CONFIGURING
CLEANING_UP = msg.State.TRANSITION_STATE_CLEANINGUP
SHUTTING_DOWN = msg.State.TRANSITION_STATE_SHUTTINGDOWN
ACTIVATING = msg.State.TRANSITION_STATE_ACTIVATING
DEACTIVATING = msg.State.TRANSITION_STATE_DEACTIVATING
ERROR_PROCESSING = msg.State.TRANSITION_STATE_ERRORPROCESSING
LABELS = {
    msg.State.PRIMARY_STATE_UNKNOWN: 'unknown', UNCONFIGURED: 'unconfigured',
    INACTIVE: 'inactive', ACTIVE: 'active', FINALIZED: 'finalized', CONFIGURING: 'configuring',
    CLEANING_UP: 'cleaningup', SHUTTING_DOWN: 'shuttingdown', ACTIVATING: 'activating',
    DEACTIVATING: 'deactivating', ERROR_PROCESSING: 'errorprocessing'}
SERVICES = {
    'change_state': ChangeState, 'get_state': GetState,
    'get_available_states': GetAvailableStates,
    'get_available_transitions': GetAvailableTransitions,
    'get_transition_graph': GetAvailableTransitions}
SUCCESS, FAILURE, ERROR = range(3)  # added to the number of a transition's first outcome


class Edge(NamedTuple):
    """One arrow of the state machine."""

    number: int
    label: str
    start: int
    goal: int


class Transition(NamedTuple):
    """What may be asked for: from `start` through `during` to one of three goals."""

    number: int
    label: str
    start: int
    during: int
    goals: Tuple[int, int, int]  # of SUCCESS, FAILURE and ERROR
    first_outcome: int  # the number of its success

    @property
    def request(self) -> Edge:
        """Return the arrow that a request takes."""
        return Edge(self.number, self.label, self.start, self.during)

    def outcome(self, how: int) -> Edge:
        """Return the arrow of SUCCESS, FAILURE or ERROR."""
        label = ('transition_success', 'transition_failure', 'transition_error')[how]
        return Edge(self.first_outcome + how, label, self.during, self.goals[how])


_T = msg.Transition
REQUESTS = (
    Transition(_T.TRANSITION_CONFIGURE, 'configure', UNCONFIGURED, CONFIGURING,
               (INACTIVE, UNCONFIGURED, ERROR_PROCESSING), _T.TRANSITION_ON_CONFIGURE_SUCCESS),
    Transition(_T.TRANSITION_CLEANUP, 'cleanup', INACTIVE, CLEANING_UP,
               (UNCONFIGURED, INACTIVE, ERROR_PROCESSING), _T.TRANSITION_ON_CLEANUP_SUCCESS),
    Transition(_T.TRANSITION_ACTIVATE, 'activate', INACTIVE, ACTIVATING,
               (ACTIVE, INACTIVE, ERROR_PROCESSING), _T.TRANSITION_ON_ACTIVATE_SUCCESS),
    Transition(_T.TRANSITION_DEACTIVATE, 'deactivate', ACTIVE, DEACTIVATING,
               (INACTIVE, ACTIVE, ERROR_PROCESSING), _T.TRANSITION_ON_DEACTIVATE_SUCCESS),
    *(Transition(number, 'shutdown', start, SHUTTING_DOWN,
                 (FINALIZED, FINALIZED, ERROR_PROCESSING), _T.TRANSITION_ON_SHUTDOWN_SUCCESS)
      for number, start in ((_T.TRANSITION_UNCONFIGURED_SHUTDOWN, UNCONFIGURED),
                            (_T.TRANSITION_INACTIVE_SHUTDOWN, INACTIVE),
                            (_T.TRANSITION_ACTIVE_SHUTDOWN, ACTIVE))))
ON_ERROR = Transition(
    -1, '', ERROR_PROCESSING, ERROR_PROCESSING, (UNCONFIGURED, FINALIZED, FINALIZED),
    _T.TRANSITION_ON_ERROR_SUCCESS)


def edges() -> List[Edge]:
    """Return all arrows, each once."""
    outcomes = [transition.outcome(how) for transition in (*REQUESTS, ON_ERROR)
                for how in (SUCCESS, FAILURE, ERROR)]
    return list(dict.fromkeys([*(transition.request for transition in REQUESTS), *outcomes]))


class Lifecycle:
    """Hold the state, run transitions one at a time, answer the services of a managed node."""

    def __init__(self, node: Node, callbacks: Mapping[str, Callable[[], None]]) -> None:
        """
        Offer the services of `node`.

        `callbacks` has what runs in each transition, by its label, and as 'error' what releases
        everything after one went wrong. A VlaNavError from configure or activate is a failure:
        the node stays where it was. Any other exception is an error: 'error' runs, and the node
        is unconfigured, or finalized if that raises too.
        """
        self.state = UNCONFIGURED
        # A group for each way in: a state is told while a transition runs.
        self.groups: List[CallbackGroup] = [MutuallyExclusiveCallbackGroup() for _ in range(2)]
        self._callbacks = callbacks
        self._running = Lock()
        self._logger = node.get_logger()
        self._events = node.create_publisher(msg.TransitionEvent, '~/transition_event', 10)
        for name, kind in SERVICES.items():
            node.create_service(kind, f'~/{name}', getattr(self, f'_{name}'),
                                callback_group=self.groups[name != 'change_state'])

    @property
    def label(self) -> str:
        """Return the name of the state."""
        return LABELS[self.state]

    def trigger(self, label: str) -> Optional[Exception]:
        """Run the transition `label`; return why it did not succeed, None if it did."""
        for transition in REQUESTS:
            if transition.label == label and transition.start == self.state:
                return self._run(transition)
        return self._refuse(label)

    def _run(self, transition: Transition) -> Optional[Exception]:
        if not self._running.acquire(blocking=False):
            return self._refuse(transition.label)
        try:
            if self.state != transition.start:  # another one was quicker
                return self._refuse(transition.label)
            self._go(transition.request)
            error = self._call(transition.label)
            failed = isinstance(error, VlaNavError) and transition.label in (
                'configure', 'activate')
            how = SUCCESS if error is None else FAILURE if failed else ERROR
            self._go(transition.outcome(how))
            if how == ERROR:
                worse = self._call('error')
                self._go(ON_ERROR.outcome(FAILURE if worse else SUCCESS))
                if worse is not None:
                    self._log('error processing', worse)
            return error
        finally:
            self._running.release()

    def _call(self, label: str) -> Optional[Exception]:
        try:
            self._callbacks[label]()
        except Exception as error:  # noqa: BLE001  # the node lives on, in another state
            return error
        return None

    def _go(self, edge: Edge) -> None:
        self.state = edge.goal
        self._events.publish(msg.TransitionEvent(
            timestamp=time.time_ns(), transition=_transition_msg(edge),
            start_state=_state_msg(edge.start), goal_state=_state_msg(edge.goal)))

    def _refuse(self, label: str) -> VlaNavError:
        possible = [transition.label for transition in REQUESTS
                    if transition.start == self.state]
        return VlaNavError(f'transition {label!r} in state {self.label}',
                           ', '.join(possible) or 'no transition until this one has ended')

    def _log(self, label: str, error: Exception) -> None:
        what = str(error) if isinstance(error, VlaNavError) else describe(error)
        self._logger.error(f'{label}: {explained(error, what)}')

    def _change_state(self, request: Any, response: Any) -> Any:
        label = request.transition.label or next(
            (transition.label for transition in REQUESTS
             if (transition.number, transition.start) == (request.transition.id, self.state)),
            f'number {request.transition.id}')
        error = self.trigger(label)
        if error is not None:
            self._log(label, error)
        response.success = error is None
        return response

    def _get_state(self, request: Any, response: Any) -> Any:
        response.current_state = _state_msg(self.state)
        return response

    def _get_available_states(self, request: Any, response: Any) -> Any:
        response.available_states = [_state_msg(state) for state in LABELS]
        return response

    def _get_available_transitions(self, request: Any, response: Any) -> Any:
        response.available_transitions = [
            _description(edge) for edge in edges() if edge.start == self.state]
        return response

    def _get_transition_graph(self, request: Any, response: Any) -> Any:
        response.available_transitions = [_description(edge) for edge in edges()]
        return response


def _state_msg(state: int) -> msg.State:
    return msg.State(id=state, label=LABELS[state])


def _transition_msg(edge: Edge) -> msg.Transition:
    return msg.Transition(id=edge.number, label=edge.label)


def _description(edge: Edge) -> msg.TransitionDescription:
    return msg.TransitionDescription(transition=_transition_msg(edge),
                                     start_state=_state_msg(edge.start),
                                     goal_state=_state_msg(edge.goal))
