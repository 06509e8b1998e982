"""Installs the package: with colcon (ament_python) on a ROS 2 machine, with pip anywhere."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'vla_nav_node'
HERE = Path(__file__).parent.resolve()


def shared(folder: str) -> list:
    """List the files of a folder of the checkout that go to share/vla_nav_node/."""
    return sorted(str(path.relative_to(HERE)) for path in (HERE / folder).glob('*')
                  if path.is_file())


def data() -> list:
    """List the bundles and symptoms; globs over folders are newer than Humble's setuptools."""
    package = HERE / PACKAGE
    return sorted(str(path.relative_to(package)) for folder in ('models', 'doctor/symptoms/data')
                  for path in (package / folder).rglob('*') if path.is_file())


ONNX = ['onnxruntime>=1.16']
TORCH = ['torch>=2.0', 'safetensors>=0.4']
SIM = ['mujoco>=3.0', 'scipy>=1.8']
DEMO = ['rich>=12', 'matplotlib>=3.5']
BAGS = ['rosbags>=0.10']
NVTX = ['nvtx>=0.2.10']
GPU = ['onnxruntime-gpu>=1.19']
MEASURE = ['psutil>=5.9']  # the verbs that describe the machine beside their figures
GPU_BENCH = GPU + TORCH + ['torch>=2.1', 'onnx>=1.14', 'rich>=12'] + MEASURE
BENCH = ONNX + TORCH + DEMO + MEASURE + ['pillow>=9.1', 'ruamel.yaml>=0.16']
# torch 2.1 maps checkpoints into memory.
CONVERT = TORCH + ONNX + MEASURE + ['torch>=2.1', 'onnx>=1.14', 'rich>=12']
TRAIN = TORCH + ONNX + SIM + ['onnx>=1.14', 'rich>=12']
TEST = BAGS + NVTX + ['pytest>=6.2', 'pytest-timeout', 'hypothesis>=6']
FUZZ = ['atheris>=2.3', 'coverage>=6']  # wheels: Linux x86_64, CPython 3.10 to 3.14
CHECK = [
    'flake8>=6', 'flake8-blind-except', 'flake8-builtins', 'flake8-class-newline',
    'flake8-comprehensions', 'flake8-deprecated', 'flake8-docstrings', 'flake8-import-order',
    'flake8-quotes', 'pydocstyle>=6.1', 'ruff', 'mypy', 'types-PyYAML', 'types-psutil']

setup(
    name=PACKAGE,
    version='0.1.0',
    description='A recurrent camera policy that drives an omniwheel robot, as a ROS 2 node',
    maintainer='vla_nav_node maintainers',
    maintainer_email='maintainers@vla-nav-node.example',
    license='Apache-2.0',
    packages=find_packages(include=[PACKAGE, PACKAGE + '.*']),
    package_data={PACKAGE: data()},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + PACKAGE]),
        ('share/' + PACKAGE, ['package.xml']),
        ('share/' + PACKAGE + '/launch', shared('launch')),
        ('share/' + PACKAGE + '/config', shared('config')),
    ],
    zip_safe=False,
    python_requires='>=3.10',
    # Read by pip, not by colcon: on a ROS 2 machine package.xml's rosdep keys are what counts,
    # and a pip install there wants --no-deps, or pip adds a second cv2 beside Debian's.
    # simplejpeg: wheels for CPython 3.10 to 3.14, x86_64 and aarch64.
    install_requires=['numpy>=1.21', 'opencv-python-headless>=4.5', 'pyyaml>=5.4',
                      'simplejpeg>=1.8'],
    extras_require={
        'onnx': ONNX,
        'gpu': GPU,
        # A Jetson has it from JetPack. On PyPI it is a stub that fetches NVIDIA's own wheels.
        'tensorrt': ['tensorrt>=8.6', 'onnx>=1.14'],
        'torch': TORCH,
        'sim': SIM,
        'demo': DEMO,
        'bags': BAGS,
        'bench': BENCH,
        'gpu-bench': GPU_BENCH,
        'nvtx': NVTX,
        'convert': CONVERT,
        'train': TRAIN,
        'test': TEST,
        'fuzz': FUZZ,
        'check': CHECK,
    },
    entry_points={
        'console_scripts': [
            'vla_nav_node = vla_nav_node.node.main:main',
            'sim_node = vla_nav_node.sim.ros_node.sim_node:main',
            'vla_nav = vla_nav_node.cli:main',
        ],
        'ros2doctor.checks': [
            'VlaNavCheck = vla_nav_node.doctor.ros_doctor_plugin:VlaNavCheck'],
        'ros2doctor.report': [
            'VlaNavReport = vla_nav_node.doctor.ros_doctor_plugin:VlaNavReport'],
    },
)
