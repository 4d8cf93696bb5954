"""What is known of runs, whatever made them. Nothing here starts or changes one.

journal        a file of lines that only grows: the events of a run
record         `run.json`, and the events since it was written
record_keeper  writes both while a run works
run_lock       who is at a run
artifacts      what artifacts hold, for showing
results        what a record says about data, model and deployment
graph          a run's tasks as a layered graph
formats        how values are written for people
stored_runs    finds the runs below a folder
comparison     runs side by side
tables         runs and comparisons on a terminal
report         the page that tells what a run did
"""
