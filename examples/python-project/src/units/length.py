"""Lengths in metres and feet."""

FEET_IN_A_METRE = 3.28084


def metres_to_feet(metres):
    """Metres as feet."""
    return metres * FEET_IN_A_METRE
