"""`hark doctor`: why a client cannot connect, to Hark, to OpenAI or to any server of their API.

A walk goes up floor by floor (`walk.py`), each floor a file that asks the server something and gives steps
(`report.py`). What came back is recognised by rules (`rules.py`) as one of the findings (`findings.py`); a log is read
by the same ones.
"""
