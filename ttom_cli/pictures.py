"""Pictures: those that videos start from, and those that are made, as PNG with the recipe they were made from."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import TTOMError
from .files import to_json

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


def read_picture(path: str, size: tuple[int, int]) -> Image:
    """The picture in a file as (width, height) in RGB: turned as its camera says, its middle cut to that shape.

    Raises TTOMError where it cannot be read, or is too large to be one.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not Path(path).is_file():
        raise TTOMError(f"--image: there is no file {path}", "give a picture, such as a .png or .jpg")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                upright = ImageOps.exif_transpose(file).convert("RGB")
    except UnidentifiedImageError:
        raise TTOMError(f"--image: {path} is no picture", "give a .png or .jpg, or another that Pillow reads") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        most = Image.MAX_IMAGE_PIXELS / 1e6
        raise TTOMError(f"--image: {path} has more than {most:.0f} megapixels", "give a smaller one") from None
    except (OSError, ValueError, SyntaxError) as error:
        reason = " ".join(str(error).split())[:120]
        raise TTOMError(f"--image: {path} cannot be read: {reason}", "is the file whole?") from None
    return ImageOps.fit(upright, size, Image.Resampling.LANCZOS)


def save_picture(path: Path, frame_HWC: np.ndarray, recipe: dict, scale: int = 1) -> None:
    """Write a picture as PNG, each side enlarged `scale` times; as in videos, the recipe is its comment."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    notes = PngInfo()
    notes.add_itxt("comment", to_json(recipe))
    if recipe.get("prompt"):
        notes.add_itxt("title", recipe["prompt"])
    picture = Image.fromarray(frame_HWC)
    size = (picture.width * scale, picture.height * scale)
    picture.resize(size, Image.Resampling.BICUBIC).save(path, format="PNG", pnginfo=notes)


def comment_of(path: Path) -> str | None:
    """The comment in a PNG; None of another file. Raises TTOMError for one that is damaged."""
    from PIL import Image

    with path.open("rb") as file:
        if file.read(4) != b"\x89PNG":
            return None
    try:
        with Image.open(path) as picture:
            picture.load()  # notes may stand behind the pixels
            return picture.text.get("comment", "")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise TTOMError(f"{path} is damaged: {' '.join(str(error).split())[:120]}") from None


def digest_of(path: str) -> str:
    """SHA-256 of a file; empty for none. Raises TTOMError where it cannot be read."""
    if not path:
        return ""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TTOMError(f"cannot read {path}: {error.strerror}") from None
