"""Temperatures in Celsius and Fahrenheit."""

FREEZING = 32.0
STEP = 9.0 / 5.0


def conv_temp(celsius):
    """Degrees Celsius as degrees Fahrenheit."""
    return celsius * STEP + FREEZING
