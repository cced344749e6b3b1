"""Thirty documents about thirty ports, as a newspaper would write them; the same on every run."""

import random
from pathlib import Path

PORTS = [
    "Rotterdam",
    "Antwerp",
    "Hamburg",
    "Valencia",
    "Piraeus",
    "Algeciras",
    "Bremerhaven",
    "Felixstowe",
    "Genoa",
    "Barcelona",
    "Gdansk",
    "Marseille",
    "Gothenburg",
    "Trieste",
    "Dublin",
    "Lisbon",
    "Zeebrugge",
    "Livorno",
    "Constanta",
    "Riga",
    "Tallinn",
    "Helsinki",
    "Bilbao",
    "Naples",
    "Rijeka",
    "Koper",
    "Aarhus",
    "Oslo",
    "Turku",
    "Varna",
]
LINES = (
    "The port of {port} handled {n:.1f} million tonnes of cargo in {year}, {p} percent more than in the year before.",
    "Its container terminals moved {k},{k3} boxes in a single week in {month} {year}, a record for {port}.",
    "Dr. {name}, who leads the port authority, expects the shore power project to cost {n:.0f} million euros.",
    "Ships that lie at the quay will draw electricity from land instead of burning diesel in their own engines.",
    "However, the grid operator warned that {port} needs a second cable before {year}.",
    "Residents near the harbour of {port} measured {p} percent less soot after the first berth was connected.",
    "The city bought {k} electric tugs, which were built in Spain and delivered in {month}.",
    "Critics say that the subsidies favour large shipping lines and that small operators cannot afford the refit.",
    "A strike in {month} {year} stopped all cranes of {port} for {k} days and delayed {k3} ships.",
    "By {year} every cruise ship that calls at {port} must use shore power or pay a fee of {k},{k3} euros.",
    "The railway behind the port was widened, and {p} percent of the containers now leave {port} by train.",
    "Engineers compared batteries with hydrogen and found that batteries are cheaper on routes below {k3} kilometres.",
    "Nobody knows yet how the new emission rules will change the traffic of {port}.",
    "A study of the University of {port} followed {k3} ships over {k} months and published its data in {month} {year}.",
)
NAMES = ("Anna Visser", "Karel Novak", "Maria Rossi", "Jens Holm", "Ines Costa", "Tomasz Zielinski")
MONTHS = ("January", "March", "May", "July", "October")


def write_corpus(folder: Path, paragraphs: int = 6) -> None:
    """One file a port, Markdown, HTML and text by turns."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, port in enumerate(PORTS):
        chance = random.Random(at)
        blocks = [" ".join(_line(chance, port) for _ in range(6)) for _ in range(paragraphs)]
        title = f"Shore power in {port}"
        if at % 3 == 0:
            (folder / f"{port.lower()}.md").write_text(f"# {title}\n\n" + "\n\n".join(blocks) + "\n")
        elif at % 3 == 1:
            body = "".join(f"<p>{block}</p>" for block in blocks)
            page = f"<html><head><title>{title}</title></head><body><article><h1>{title}</h1>{body}</article></body></html>"
            (folder / f"{port.lower()}.html").write_text(page)
        else:
            (folder / f"{port.lower()}.txt").write_text(f"{title}\n\n" + "\n\n".join(blocks) + "\n")


def _line(chance: random.Random, port: str) -> str:
    return chance.choice(LINES).format(
        port=port,
        n=chance.uniform(3, 480),
        year=chance.randint(2019, 2031),
        p=chance.randint(2, 48),
        k=chance.randint(2, 29),
        k3=chance.randint(100, 990),
        name=chance.choice(NAMES),
        month=chance.choice(MONTHS),
    )
