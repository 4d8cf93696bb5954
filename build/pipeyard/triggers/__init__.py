"""What starts runs by itself: new objects in a bucket, drift, worse metrics, another run's end, a schedule.

All of it is an `Event`, and one pure function decides what it means: `decision.decide`. Around it: `events` reads what
Google sends, `routing` finds who wants it, `state` keeps what was decided, `firing` starts what was.
"""
