"""A device simulated in host memory: real addresses, and a real runtime that works on them."""

import ctypes

import numpy as np

ALIGNED = 256


class HostMemory:
    """A DeviceMemory in ordinary memory; queued work is done at once."""

    mode = 'at once'

    def __init__(self):
        """Count the copies between the two sides."""
        self.blocks = {}
        self.uploads = self.downloads = self.runs = 0
        self.closed = False

    def host(self, size):
        """Return memory of the host's side."""
        return np.zeros(size, np.uint8)

    def device(self, size):
        """Return memory of the device's side, filled with an arbitrary value."""
        block = np.full(size + ALIGNED, 0xA5, np.uint8)
        address = -(-block.ctypes.data // ALIGNED) * ALIGNED
        self.blocks[address] = block
        return address

    def upload(self, target, source):
        """Copy to the device."""
        assert source.flags.c_contiguous and not self.closed
        ctypes.memmove(target, source.ctypes.data, source.nbytes)
        self.uploads += 1

    def download(self, target, source):
        """Copy to the host."""
        assert target.flags.c_contiguous and not self.closed
        ctypes.memmove(target.ctypes.data, source, target.nbytes)
        self.downloads += 1

    def copy(self, target, source, size):
        """Copy on the device."""
        assert not self.closed
        ctypes.memmove(target, source, size)

    def record(self, work):
        """Run `work` and return it: there is nothing to record."""
        work()

        def again():
            self.runs += 1
            work()
        return again

    def enter(self):
        """Do nothing: every thread sees this memory."""

    def wait(self):
        """Do nothing: all work is done."""

    def close(self):
        """Overwrite everything, so that a later read shows."""
        self.closed = True
        for block in self.blocks.values():
            block[:] = 0x5A


def bind_onnx(path):
    """Return a `bind` for DeviceStep that runs a step graph by ONNX Runtime."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])

    def bind(addresses):
        binding = session.io_binding()
        for nodes, tie in ((session.get_inputs(), binding.bind_input),
                           (session.get_outputs(), binding.bind_output)):
            for node in nodes:
                dtype = np.uint8 if node.type == 'tensor(uint8)' else np.float32
                tie(node.name, 'cpu', 0, dtype, node.shape, addresses[node.name])
        return lambda: session.run_with_iobinding(binding)
    return bind
