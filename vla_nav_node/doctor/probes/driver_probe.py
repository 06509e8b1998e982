"""Start NVIDIA's driver, and tell its GPU."""

import sys

from .telling import answer, Tell
from ...backends.cuda.cuda_driver import CudaDriver


def look(tell: Tell) -> None:
    """Tell the CUDA that the driver supports, and the first GPU."""
    tell(step='starting libcuda.so.1')
    driver = CudaDriver()
    tell(cuda=driver.version, gpu=list(driver.gpu()))


if __name__ == '__main__':
    answer(look, sys.argv[1:])
