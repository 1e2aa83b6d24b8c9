"""`ttom memory`: a command a verb, each a skin over what `ttom_cli.memory` does."""

from __future__ import annotations

import typer

from . import changing, files, looking

app = typer.Typer(help="The memory bank: adapters learnt on earlier prompts.", no_args_is_help=True)

app.command("ls")(looking.ls)
app.command("show")(looking.show)
app.command("search")(looking.search)
app.command("stats")(looking.stats)
app.command("rm")(changing.rm)
app.command("update")(changing.update)
app.command("merge")(changing.merge)
app.command("prune")(changing.prune)
app.command("verify")(files.verify)
app.command("export")(files.export)
app.command("import")(files.import_)
