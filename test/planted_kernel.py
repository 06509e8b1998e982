"""A /proc and a /sys that a test writes."""

from vla_nav_node.system.load.kernel_files import Roots


class Planted:
    """Files below a directory of the test."""

    def __init__(self, path):
        """Begin without any file."""
        self.path = path
        self.roots = Roots(str(path / 'proc'), str(path / 'sys'))

    def plant(self, files):
        """Write texts by their names, such as proc/stat."""
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'{text}\n')

    def cpu(self, used, own=0, stolen=0, cores=2, faults=0):
        """Write /proc/stat and /proc/self/stat: ticks of 10 ms that were used up so far."""
        lines = [f'cpu{core} {used // cores} 0 0 0 0 0 0 {stolen // cores} 0 0'
                 for core in range(cores)]
        tail = ['0'] * 20
        tail[9], tail[11] = str(faults), str(own)
        self.plant({'proc/stat': '\n'.join(['cpu 0', *lines, 'intr 1']),
                    'proc/self/stat': f'1 (a) b) {" ".join(tail)}'})


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        """Begin at a time that is not zero."""
        self.now_s = 1000.0

    def __call__(self):
        """Return the time, s."""
        return self.now_s
