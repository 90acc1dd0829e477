"""The engine's real code, explored over an abstract database: every schedule of crashes, pauses and lost replies.

How the parts lie together, from the engine outwards:

- `seam` takes the place of what the engine touches (database, clock, lock, provider) and turns each touch into a question;
  `actors` names the pieces of engine code that are run and puts the seam under them.
- `sql` parses the engine's own statements, `schema` reads its tables from the models, `evaluate` turns expressions and
  queries into functions and `statements` whole statements; `execution` is one that runs, in a transaction, with row locks
  and the lane's rules; `store` keeps what was committed. What they do not know they refuse. `postgres` does the same steps
  on a real PostgreSQL and compares.
- `pieces` keeps every piece of code in the middle of its work as a value (the answers it was given) and lets it go on.
- `state` is one state of the world and the bounds; `world` gives all steps that may come next, `words` says what they are,
  and `tidy` makes two states one where nothing can tell the difference.
- `invariants` says what is wrong with a state or a change, `calm` what becomes of a state when nothing disturbs it any
  more, and `search` visits all states, shortest schedules first.
- `explorations` are the bounds that are explored, `planted` the bugs that have to be found; `python -m tests.exploration`
  runs them.
"""
