"""Build the policy and the cycle from the settings."""

from dataclasses import replace
from typing import Tuple

from . import messages
from ..backends import prepare
from ..driving.command_limits import ABSURD_FACTOR, ActionCheck
from ..driving.cycle import Cycle
from ..driving.settings import Settings
from ..policy.fallback import FallbackPolicy
from ..policy.runtime_opener import RuntimeOpener
from ..vision import jpeg, pictures
from ..vision.preprocess import Preprocess


def policy_and_cycle(opener: RuntimeOpener, settings: Settings) -> Tuple[FallbackPolicy, Cycle]:
    """Open the runtimes, and return the policy and its cycle; raise VlaNavError on failure."""
    prepare()
    pictures.stay_in_one_thread()
    if settings.image_transport == 'compressed':
        jpeg.require()
    bundle = opener.bundle
    action_check = ActionCheck(ABSURD_FACTOR * max(bundle.limits.values()))
    policy = FallbackPolicy(opener.open_chain(settings.runtime, settings.fallbacks),
                            bundle.zero_state(), action_check.problem)
    recipe = replace(bundle.input, rotation=settings.image_rotation)
    return policy, Cycle(policy, Preprocess(recipe), action_check, messages.decoder())
