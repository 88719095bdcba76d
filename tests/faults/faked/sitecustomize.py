"""Imported by Python itself where this folder is on its path: for processes under libfaketime, whose clock_nanosleep
refuses what time.sleep asks of it."""

import select
import time

time.sleep = lambda seconds: select.select([], [], [], seconds) and None
