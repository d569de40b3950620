"""How hypothesis works here: judged by results alone, never by time, and leaving no files."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "quplog", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("quplog")
