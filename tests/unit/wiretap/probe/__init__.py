"""The probe: limits, hostile servers, servers with known weaknesses."""
