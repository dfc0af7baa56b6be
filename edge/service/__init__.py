"""Life as a service: installation, enrolment, check, status and health."""
