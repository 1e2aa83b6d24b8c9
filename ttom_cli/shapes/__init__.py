"""The embedded world: a renderer, a caption grammar, a trainer and a detector for coloured shapes."""
