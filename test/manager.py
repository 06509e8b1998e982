"""What nav2_lifecycle_manager asks of a node, in its order and with its patience."""

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState


class Manager:
    """The client side of one managed node's services."""

    def __init__(self, rig, name='vla_nav_node'):
        """Make the clients in the rig's node."""
        self._rig = rig
        self._change = rig.node.create_client(ChangeState, f'{name}/change_state')
        self._get = rig.node.create_client(GetState, f'{name}/get_state')

    def change(self, label, number=0):
        """Request a transition by label or by number; return whether it succeeded."""
        answer = self.begin(label, number)
        self._rig.until(answer.done, f'the end of {label or number}')
        return answer.result().success

    def begin(self, label, number=0):
        """Request a transition; return its future answer."""
        self._rig.until(self._change.service_is_ready, self._change.srv_name)
        return self._change.call_async(ChangeState.Request(
            transition=Transition(id=number, label=label)))

    def state(self):
        """Return the label of the state."""
        return self._ask(self._get, GetState.Request()).current_state.label

    def is_there(self):
        """Tell whether the node's services are in the graph."""
        return self._change.service_is_ready()

    def startup(self):
        """Configure, then activate; each has to arrive in the state that Nav2 expects."""
        return all(self.change('', number) and self._state_id() == state for number, state in (
            (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
            (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE)))

    def reset(self):
        """Deactivate and clean up, whatever the state and whatever comes of it."""
        for number in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
            self.change('', number)

    def _state_id(self):
        return self._ask(self._get, GetState.Request()).current_state.id

    def _ask(self, client, request):
        self._rig.until(client.service_is_ready, client.srv_name)
        answer = client.call_async(request)
        self._rig.until(answer.done, f'the answer of {client.srv_name}')
        return answer.result()
