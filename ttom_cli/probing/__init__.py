"""The attention-layout probe: how well each block's attention to a phrase tells where its object ends up."""
