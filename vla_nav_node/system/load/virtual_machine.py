"""Whether this is a virtual machine, whose host may do what cannot be seen from here."""

from .kernel_files import LINUX, read_text, Roots


def is_virtual(roots: Roots = LINUX) -> bool:
    """Return whether the kernel runs under a hypervisor, as far as it tells."""
    flags = next((line for line in read_text(f'{roots.proc}/cpuinfo').splitlines()
                  if line.startswith('flags')), '')
    return ' hypervisor' in flags or bool(
        read_text(f'{roots.sys}/hypervisor/type')
        or read_text(f'{roots.proc}/device-tree/hypervisor/compatible'))
