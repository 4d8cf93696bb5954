"""What `pipeyard new` writes: pipelines for data that there is, and components. Both run and pass all checks at once.

new_pipeline    a pipeline's files
new_component   a component's files
data_facts      what is known of some data's columns, by the programs of extract and data_validation
column_roles    what becomes of each column: an input of the model, and how, or nothing; what the model is for
settings_entry  a pipeline's entry in settings.yaml, in its text
placement       files put in their places, all or none
rendering       templates, and the names in them
literals        Python's literals, as Ruff formats them
"""
