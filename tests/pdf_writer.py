"""Writes small PDF files for tests: texts at positions, rules of tables, and pages that are images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 400, 600
FONTS = {"F": "Helvetica", "B": "Helvetica-Bold", "C": "Courier"}
IMAGE = (
    "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\n"
    "stream\nx\nendstream"
)


@dataclass
class PdfPage:
    """A page. Positions are in points from the upper left corner."""

    drawn: list[str] = field(default_factory=list)

    def text(
        self, x: float, top: float, *lines: str, size: float = 10, font: str = "F", leading: float = 1.2
    ) -> "PdfPage":
        for number, line in enumerate(lines):
            escaped = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            y = HEIGHT - top - size - number * leading * size
            self.drawn.append(f"BT /{font} {size} Tf {x} {y:.1f} Td ({escaped}) Tj ET")
        return self

    def grid(self, xs: Sequence[float], tops: Sequence[float]) -> "PdfPage":
        """The rules of a table."""
        self.drawn += [f"{xs[0]} {HEIGHT - top} m {xs[-1]} {HEIGHT - top} l S" for top in tops]
        self.drawn += [f"{x} {HEIGHT - tops[0]} m {x} {HEIGHT - tops[-1]} l S" for x in xs]
        return self

    def image(self) -> "PdfPage":
        """An image over the whole page, as in a scan."""
        self.drawn.append(f"q {WIDTH} 0 0 {HEIGHT} 0 0 cm /I Do Q")
        return self


def pdf_of(pages: Iterable[PdfPage]) -> bytes:
    """The bytes of a PDF file."""
    contents = ["\n".join(page.drawn) for page in pages]
    fonts = "".join(f"/{name} << /Type /Font /Subtype /Type1 /BaseFont /{base} >> " for name, base in FONTS.items())
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(contents)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>",
        IMAGE,
    ]
    for drawn in contents:
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Contents {len(objects) + 2} 0 R "
            f"/Resources << /Font << {fonts}>> /XObject << /I 3 0 R >> >> >>",
            f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        ]
    written, places = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(written))
        written += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer << /Size {size} /Root 1 0 R >>\n"
    return f"{written}{end}startxref\n{len(written)}\n%%EOF\n".encode("latin-1")
