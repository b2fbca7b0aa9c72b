import unittest

from units import length, temperature


class Conversions(unittest.TestCase):
    def test_length(self):
        self.assertAlmostEqual(length.metres_to_feet(2), 6.56168)

    def test_temperature(self):
        self.assertAlmostEqual(temperature.conv_temp(100), 212.0)


if __name__ == "__main__":
    unittest.main()
