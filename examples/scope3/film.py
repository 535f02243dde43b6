"""The run as a moving picture: the agents, and the partitions that they have done.

Each tile is a partition and is lit when it was committed; each dot is an agent, which
moves from the partition that it had to the one that it gets next. Who had what and when
is as recorded; the way between is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from examples.scope3.course import Course, Piece

__all__ = ["FRAMES", "Film"]

Floats = NDArray[np.float64]

FRAMES: Final = 96
_FRAME_MS: Final = 80
_HELD_MS: Final = 2_500
_MG_PER_T: Final = 10**9


@dataclass(frozen=True, slots=True)
class _Way:
    """Where one agent is at any time: at tiles, and between them."""

    times: Floats
    places: Floats

    def at(self, moments: Floats) -> Floats:
        """Return positions, shape ``(len(moments), 2)``; slow where it sets off."""
        last = len(self.times) - 1
        after = np.clip(np.searchsorted(self.times, moments, "right"), 1, last)
        begin, end = self.times[after - 1], self.times[after]
        share = np.clip((moments - begin) / np.maximum(end - begin, 1e-9), 0, 1)
        eased = (share * share * (3 - 2 * share))[:, None]
        found: Floats = (1 - eased) * self.places[after - 1] + eased * self.places[
            after
        ]
        return found


class Film:
    """A course as so many frames.

    Args:
        course: What has happened.
        frames: How many, at least two.

    Attributes:
        course: What has happened.
        columns: Of the map of partitions; ``rows`` likewise.
        moments: When each frame is, seconds after the swarm began.
        paths: Where each agent is at each frame, shape ``(frames, agents, 2)``.
        done_at: When each partition was committed; infinite: never.
        tonnes: What each came to, t CO2e.
    """

    def __init__(self, course: Course, *, frames: int = FRAMES) -> None:
        self.course = course
        self.columns, self.rows = _grid(course.partitions)
        self.moments = np.linspace(0, course.duration_s, frames)
        self.paths = np.stack([way.at(self.moments) for way in self._ways()], axis=1)
        self.done_at = np.full(course.partitions, np.inf)
        self.tonnes = np.full(course.partitions, np.nan)
        for piece in course.pieces:
            self.done_at[piece.partition] = piece.ended_s
            self.tonnes[piece.partition] = piece.mg / _MG_PER_T

    def save(self, path: Path) -> None:
        """Write it as a GIF that is played again and again."""
        from PIL import Image  # matplotlib brings it along

        from examples.scope3.stage import Stage

        frames = [Image.fromarray(pixels) for pixels in Stage(self).frames()]
        # One palette for all of them, from three: a palette each would flicker.
        width, height = frames[0].size
        samples = Image.new("RGB", (width, 3 * height))
        for nth, share in enumerate((0.25, 0.6, 1.0)):
            samples.paste(frames[self._nth(share)], (0, nth * height))
        palette = samples.quantize(256, dither=Image.Dither.NONE)
        reduced = [
            frame.quantize(palette=palette, dither=Image.Dither.NONE)
            for frame in frames
        ]
        reduced[0].save(
            path,
            save_all=True,
            append_images=reduced[1:],
            duration=[_FRAME_MS] * (len(frames) - 1) + [_HELD_MS],
            loop=0,
        )

    def still(self, path: Path, share: float = 0.6) -> None:
        """Write one frame as a PNG.

        Args:
            path: Where to.
            share: Which: 0.0 is the first, 1.0 the last.
        """
        from PIL import Image

        from examples.scope3.stage import Stage

        Image.fromarray(Stage(self).pixels(self._nth(share))).save(path)

    @property
    def slowed(self) -> float:
        """How many seconds of the film one second of the run takes."""
        shown_s = len(self.moments) * _FRAME_MS / 1_000
        return shown_s / max(self.course.duration_s, 1e-9)

    def _nth(self, share: float) -> int:
        return round(share * (len(self.moments) - 1))

    def _ways(self) -> Iterator[_Way]:
        """Yield each agent's way, from the nest in the middle."""
        nest = ((self.columns - 1) / 2, (self.rows - 1) / 2)
        # Those who come in the place of others have higher numbers.
        by_agent: dict[int, list[Piece]] = {n: [] for n in range(self.course.agents)}
        for piece in sorted(self.course.pieces, key=lambda one: one.began_s):
            by_agent.setdefault(piece.agent, []).append(piece)
        for pieces in by_agent.values():
            times, places = [0.0, 0.0], [nest, nest]
            for piece in pieces:
                place = (
                    piece.partition % self.columns,
                    piece.partition // self.columns,
                )
                times += [piece.began_s, piece.ended_s]
                places += [place, place]
            yield _Way(np.array(times), np.array(places, np.float64))


def _grid(count: int) -> tuple[int, int]:
    """Return columns and rows for so many tiles, without a gap if that can be."""
    fair = math.ceil(math.sqrt(1.5 * count))
    full = (n for n in range(fair, fair * 5 // 4 + 1) if count % n == 0)
    columns = next(full, fair)
    return columns, math.ceil(count / columns)
