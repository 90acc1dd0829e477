"""The worker processes of the peers, one module each. Every one does `bench.guarded` with a row and nothing more.

Everything doubtful is decided in the peers' favour: their messages or jobs are stored before the clock starts, their
processes are up and their connections open, no result is kept, no attempt is logged, no body stored, no breaker or
rate asked, no move signed, each update is one round trip in autocommit, and the gateway accepts at once.
"""
