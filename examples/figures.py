"""Plots as SVG: axes with a number here and there, points, lines and words beside them."""
import math
import pathlib
import sys

COLOURS = ("#1b6ca8", "#b5462c", "#3f8f4f", "#7b4fa3", "#a8821b", "#4a4a4a", "#c04f8a")


class Plot:
    """Axes from (x0, y0) to (x1, y1); with `log` x goes by powers. What is drawn is kept in order."""

    def __init__(self, x, y, title, x_label, log=False, size=(760, 420), right=170):
        self.low, self.high, self.scale = x, y, math.log2 if log else float
        self.width, self.height, self.left, self.bottom, self.right = *size, 60, 50, right
        middle = (x[0] * x[1]) ** 0.5 if log else (x[0] + x[1]) / 2
        base = self.y(y[0])
        self.out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" font-family="sans-serif" font-size="12">',
                    f'<rect width="{self.width}" height="{self.height}" fill="white"/>',
                    f'<line x1="{self.left}" y1="{base}" x2="{self.x(x[1])}" y2="{base}" stroke="black"/>',
                    f'<line x1="{self.left}" y1="{base}" x2="{self.left}" y2="20" stroke="black"/>',
                    f'<text x="{self.left}" y="14">{title}</text>',
                    f'<text x="{self.x(middle) - 60}" y="{self.height - 12}">{x_label}</text>']

    def x(self, value):
        low, high = map(self.scale, self.low)
        return self.left + (self.width - self.left - self.right) * (self.scale(value) - low) / (high - low)

    def y(self, value):
        low, high = self.high
        return self.height - self.bottom - (self.height - self.bottom - 20) * (value - low) / (high - low)

    def x_tick(self, value, words):
        self.out.append(f'<text x="{self.x(value) - 8}" y="{self.y(self.high[0]) + 18}">{words}</text>')

    def y_tick(self, value, words):
        self.out.append(f'<text x="{self.left - 30}" y="{self.y(value) + 4}">{words}</text>')

    def dot(self, x, y, colour, is_open=False):
        look = f'fill="none" stroke="{colour}"' if is_open else f'fill="{colour}"'
        self.out.append(f'<circle cx="{self.x(x)}" cy="{self.y(y)}" r="5" {look}/>')

    def words(self, x, y, text, colour="black", down=4):
        self.out.append(f'<text x="{self.x(x) + 8}" y="{self.y(y) + down}" fill="{colour}">{text}</text>')

    def names(self, x, rows, apart=0.05):
        """Names [(y, name, colour)] beside the last points, none on another: upwards from the axis, then down from the top."""
        rows = sorted(rows, key=lambda row: row[0])
        heights, below, above = [], 0.0, self.high[1] + apart
        for last, _, _ in rows:
            below = max(below + apart, last)
            heights.append(below)
        for height, (_, name, colour) in reversed(list(zip(heights, rows))):
            above = min(above - apart, height)
            self.words(x, above, name, colour)

    def line(self, points, colour, is_dashed=False):
        path = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)
        dashes = ' stroke-dasharray="4 3"' if is_dashed else ""
        self.out.append(f'<polyline points="{path}" fill="none" stroke="{colour}"{dashes}/>')

    def svg(self):
        return "\n".join(self.out + ["</svg>", ""])


def main(usage, figure):
    """A program whose arguments are NAME=FILE: prints figure([(name, file)])."""
    files = [argument.partition("=")[::2] for argument in sys.argv[1:]]
    if not files or not all(path for _, path in files):
        print(usage.strip(), file=sys.stderr)
        return 2
    try:
        sys.stdout.write(figure(files))
    except (ValueError, KeyError, OSError) as error:
        print(f"{pathlib.Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 5
    return 0
