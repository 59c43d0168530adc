"""Properties of framing, grammar and values. No property depends on time, because a busy machine is not a defect."""

from hypothesis import HealthCheck, settings

settings.register_profile("emailsys", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("emailsys")
