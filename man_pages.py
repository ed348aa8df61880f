"""Man pages out of docs/cli.md, which is made from the commands' own help; setup.py puts them into the wheel.

    python man_pages.py FOLDER

Nothing of featlearn is imported, since no part of it is built yet where they are made.
"""

import os
import re
import sys
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent
SECTION = re.compile(r"^## (featlearn[^\n]*)\n\n```\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


def write(folder: str) -> list[str]:
    """Write a page for each command into a folder, dated by SOURCE_DATE_EPOCH or today. -> their paths"""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    date = time.strftime("%Y-%m-%d", time.gmtime(seconds))
    made = pages((ROOT / "docs" / "cli.md").read_text("utf-8"), version, date)
    os.makedirs(folder, exist_ok=True)
    for name, page in made.items():
        Path(folder, name).write_text(page, "utf-8")
    return [f"{folder}/{name}" for name in made]


def pages(text: str, version: str, date: str) -> dict[str, str]:
    """Return the man pages of all commands by the names of their files, from the text of docs/cli.md."""
    sections = dict(SECTION.findall(text))
    commands = dict(entries(groups(sections["featlearn"])["Commands"]))
    exits = re.search(r"^(Exit codes: .*?)\n\n", text, re.MULTILINE | re.DOTALL)
    made = {}
    for title, page in sections.items():
        name = title.replace(" ", "-")
        if " --model " in title:
            continue
        said = commands.get(title.partition(" ")[2], "learn visual features from images")
        models = [sections[one] for one in sections if one.startswith(f"{title} --model ")]
        others = [f"featlearn-{one}" for one in commands] if title == "featlearn" else ["featlearn"]
        lines = [f'.TH {quoted(name.upper())} 1 "{date}" "featlearn {version}" "User Commands"']
        lines += [".SH NAME", f"{quoted(name)} \\- {quoted(said[:1].lower() + said[1:].rstrip('.'))}"]
        lines += [*body(page), *of_models(models)]
        if title == "featlearn" and exits:
            lines += [".SH EXIT STATUS", *prose(exits[1].removeprefix("Exit codes: "))]
        lines += [
            ".SH SEE ALSO",
            " ,\n".join(f".BR {quoted(one)} (1)" for one in others),
        ]
        made[f"{name}.1"] = "\n".join(lines) + "\n"
    return made


def body(page: str) -> list[str]:
    """Return the synopsis, description, examples and options of a help page as roff."""
    usage, _, rest = page.partition("\n")
    words = usage.removeprefix("Usage: ").split(" [OPTIONS]")
    lines = [".SH SYNOPSIS", f".B {quoted(words[0])}", quoted(f"[OPTIONS]{words[1]}")]
    text = re.split(r"^\S", rest, maxsplit=1, flags=re.MULTILINE)[0]
    examples: list[str] = []
    lines.append(".SH DESCRIPTION")
    paragraphs = [one for one in re.split(r"\n\s*\n", text) if one.strip()]
    for paragraph in paragraphs:
        if re.match(r"  (Examples|Try):\n", paragraph):
            examples = [quoted(line.strip()) for line in paragraph.splitlines()[1:]]
        else:
            lines += [".PP", *prose(paragraph)]
    if len(lines) > 4 and lines[4] == ".PP":
        del lines[4]  # it does nothing after a heading
    if examples:
        lines += [".SH EXAMPLES", ".nf", *examples, ".fi"]
    lines.append(".SH OPTIONS")
    for title, block in groups(page).items():
        lines += [".SH COMMANDS" if title == "Commands" else f".SS {quoted(title)}"]
        lines += roff_list(entries(block))
    return lines


def of_models(pages: list[str]) -> list[str]:
    """Return the options that the models have beside those of all, and the papers that they are of."""
    lines, papers = [], {}
    for page in pages:
        for title, block in groups(page).items():
            if title.startswith("Model "):
                lines += [
                    f".SS {quoted(f'Options of --model {title[6:]}')}",
                    *roff_list(entries(block)),
                ]
            elif title == "Papers":
                papers |= dict(entries(block))
    return [".SH MODELS", *lines, ".SH PAPERS", *roff_list(papers.items())] if lines else []


def groups(page: str) -> dict[str, str]:
    """Return the lists of a help page by their titles."""
    found = re.findall(r"^(\S[^\n]*):\n((?:  [^\n]*\n|\n)+)", page + "\n", re.MULTILINE)
    return {title: block for title, block in found if not title.startswith("Usage")}


def entries(block: str) -> list[tuple[str, str]]:
    """Return what a list explains, each with its text on one line."""
    found: list[list[str]] = []
    for line in filter(str.strip, block.splitlines()):
        if re.match(r"  \S", line):
            head, _, text = line.strip().partition("  ")
            found.append([head, text.strip()])
        else:
            found[-1][1] = joined(found[-1][1], line.strip())
    return [(head, text) for head, text in found]


def joined(text: str, more: str) -> str:
    """Return two lines as one; a word that was parted at its hyphen is whole again."""
    parted = re.search(r"\w-$", text) and re.match(r"\w", more)
    return f"{text}{'' if parted or not text else ' '}{more}"


def roff_list(found: Iterable[tuple[str, str]]) -> list[str]:
    """Return what a list explains as roff."""
    return [line for head, text in found for line in (".TP", f".B {quoted(head)}", quoted(text))]


def prose(paragraph: str) -> list[str]:
    """Return a paragraph as roff, on one line."""
    text = ""
    for line in paragraph.splitlines():
        text = joined(text, line.strip())
    return [quoted(text)]


def quoted(text: str) -> str:
    """Return a text as roff shows it as it is; hyphens stay those of the keyboard."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    return f"\\&{text}" if text.startswith(".") else text


if __name__ == "__main__":
    print("\n".join(write(sys.argv[1])))
