"""Properties of framing, grammar and values. Time is never what is measured: a busy machine is no defect of mail."""

from hypothesis import HealthCheck, settings

settings.register_profile("emailsys", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("emailsys")
