"""Moved time: all programs started meanwhile live at a time of the script's choice (libfaketime)."""
import glob
import os
import sys


class Clock:
    """A context in which children have another time, and see it move. Their monotonic clocks are left alone."""

    def __init__(self, directory):
        libraries = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        if not libraries:
            sys.exit("not there: libfaketime")
        self.file, self.ahead = f"{directory}/clock", 0
        self.variables = {"LD_PRELOAD": libraries[0], "FAKETIME_TIMESTAMP_FILE": self.file,
                          "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def __enter__(self):
        self.move(0)
        os.environ.update(self.variables)
        return self

    def __exit__(self, *_):
        for name in self.variables:
            del os.environ[name]

    def move(self, seconds):
        """Moves the time ahead."""
        self.ahead += seconds
        with open(f"{self.file}.new", "w", encoding="ascii") as file:
            file.write(f"+{self.ahead}\n")
        os.rename(f"{self.file}.new", self.file)


def without_clock():
    """The environment of a program that keeps the true time: some hang where it is moved (dig, NSD)."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
