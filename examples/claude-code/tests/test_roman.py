import importlib.util
import unittest

# Until the first task has landed there is nothing to test.
if importlib.util.find_spec("roman") is None:
    raise unittest.SkipTest("roman.py is not written yet")

import roman


class Roman(unittest.TestCase):
    def test_there_and_back(self):
        for n in range(1, 4000, 37):
            self.assertEqual(roman.from_roman(roman.to_roman(n)), n)

    def test_known_numerals(self):
        for n, text in [(4, "IV"), (9, "IX"), (40, "XL"), (1994, "MCMXCIV"), (3999, "MMMCMXCIX")]:
            self.assertEqual(roman.to_roman(n), text)

    def test_nonsense_is_refused(self):
        for bad in ["", "IIII", "IC", "mc", "X X"]:
            self.assertRaises(ValueError, roman.from_roman, bad)
        for bad in [0, 4000, -1]:
            self.assertRaises(ValueError, roman.to_roman, bad)
