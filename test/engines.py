"""An engine for the tests of the cache, and its builder, which other processes import."""

import time

from vla_nav_node.backends.tensorrt.engine_cache import Engine, EngineCache, EngineKey

KEY = EngineKey(model='ab' * 32, tensorrt='10.3.0', gpu='Orin', capability='8.7',
                uuid='0b1c', precision='fp16', shapes='(1, 24, 32, 3)', recipe=1)
ENGINE = Engine(bytes(range(256)) * 40, {'seconds': 1.5, 'weights': 7, 'products': {'fp16': 3}})


def build_slowly(directory, number, diary):
    """Build as one of several processes; write the number of the one that did to `diary`."""
    def build():
        with open(diary, 'a') as file:
            file.write(f'{number}\n')
        time.sleep(0.5)
        return ENGINE._replace(plan=str(number).encode() * 1000)
    cache = EngineCache(directory)
    cache.load_or_build(KEY, build)
    assert bytes(cache.load(KEY).plan) in {str(n).encode() * 1000 for n in range(8)}
