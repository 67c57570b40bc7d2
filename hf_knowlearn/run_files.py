"""Names of the files in the folder of a run, for the packages that write and read them."""

RECIPE, RUN, REPORT = "recipe.yaml", "run.json", "report.json"
