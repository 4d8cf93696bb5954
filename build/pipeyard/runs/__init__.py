"""What is known of runs, whatever made them. Nothing here starts or changes one.

record       `run.json`, written whole after every change of state
artifacts    what artifacts hold, for showing
results      what a record says about data, model and deployment
graph        a run's tasks as a layered graph
formats      how values are written for people
stored_runs  finds the runs below a folder
comparison   runs side by side
tables       runs and comparisons on a terminal
report       the page that tells what a run did
"""
