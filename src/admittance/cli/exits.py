"""Exit codes by class of error."""

from admittance import errors

OK = 0
UNEXPECTED = 1
USAGE = 2

BY_CLASS: dict[type[errors.AdmittanceError], int] = {
    errors.Refused: 3,
    errors.AuthenticationFailed: 4,
    errors.NotFound: 5,
    errors.ConfigurationError: 6,
    errors.Unavailable: 7,
    errors.NetworkFailure: 8,
    errors.Malformed: 9,
    errors.AuditBroken: 10,
    errors.TpmRefused: 11,
}


def code_for(error: errors.AdmittanceError) -> int:
    """The code of the nearest class; `UNEXPECTED` for a class that has none."""
    for kind in type(error).__mro__:
        if kind in BY_CLASS:
            return BY_CLASS[kind]
    return UNEXPECTED
