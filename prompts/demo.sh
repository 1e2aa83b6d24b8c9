#!/bin/sh
# What `make demo` runs: without guidance, with it, and a second time from memory.
set -eu
out=videos/demo bank=videos/demo-bank
rm -rf "$out" "$bank"
prompt="a red ball rolls right while a blue cube rises"

echo "1. without guidance" >&2
ttom generate "$prompt" --seed 3 --guide off --out "$out/1-unguided.mp4"
echo "2. guided by a layout; what it learns goes into the memory" >&2
ttom generate "$prompt" --seed 3 --bank "$bank" --compare --out "$out/2-guided.mp4"
echo "3. other objects that move alike, on another noise: the memory knows the scene, nothing is optimised" >&2
ttom generate "a green triangle rolls right while an orange cross rises" \
    --seed 4 --bank "$bank" --compare --out "$out/3-from-memory.mp4"
echo "4. the memory" >&2
ttom memory ls --bank "$bank" >&2
