"""Which tests go to one worker: those that share what is dear to make. No test is in here."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

from support import machine

#: What has been pushed once to a registry is pushed at once the next time.
_PUSHING = ("test_manager.py", "test_sharing_registry.py")


class ByWhatIsShared(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Tests of a module on one engine go together, and those of a module of units, which take no time; others alone."""

    def _split_scope(self, nodeid: str) -> str:
        module, _, test = nodeid.partition("::")
        engines = [engine for engine in machine.ENGINES if engine in test]
        if engines:
            return f"{'a registry' if module.endswith(_PUSHING) else module} on {engines[-1]}"
        return module if module.startswith("tests/unit/") else nodeid
