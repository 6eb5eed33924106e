"""Names the wheel: it serves every Python 3, and one kind of machine."""

import platform

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelOfOneMachine(BuildHookInterface):
    def initialize(self, version: str, build_data: dict) -> None:
        # Into the folder of compiled packages, where torch is.
        build_data["pure_python"] = False
        # auditwheel then names the oldest glibc that the binary starts with.
        build_data["tag"] = f"py3-none-linux_{platform.machine()}"
