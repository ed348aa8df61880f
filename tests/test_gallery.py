"""The gallery: its pictures are those of its commands, small, and made by a script that works."""

import runpy
import stat
from pathlib import Path

import pytest
from PIL import Image

import featlearn

ROOT = Path(__file__).parents[1]
GALLERY = runpy.run_path(str(ROOT / "docs" / "gallery.py"), run_name="gallery")
PAGE = (ROOT / "docs" / "gallery.md").read_text("utf-8")
OTHERWISE = {"untied-dbn": "--up-down", "label-rbm": "label-rbm:", "deep-autoencoder": "--unrolled"}
"""How the page makes models that no `--model` names."""


def made(text):
    """The files that the commands of a page write."""
    blocks = [block[1] for block in GALLERY["BLOCK"].finditer(text)]
    lines = [line for block in blocks for line in block.splitlines()]
    return [GALLERY["output"](line) for line in lines if line.startswith("featlearn")]


def test_each_picture_is_one_that_a_command_of_the_page_makes():
    """None is left over, none is shown by another page that this one does not make."""
    shown = GALLERY["pictures"](PAGE)
    assert len(set(shown)) == len(shown)
    assert set(shown) <= set(made(PAGE))
    assert {path.name for path in (ROOT / "docs" / "pictures").iterdir()} == set(shown)
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        assert set(GALLERY["pictures"](page.read_text("utf-8"))) <= set(shown), page


def test_each_block_says_how_long_it_took():
    assert len(GALLERY["BLOCK"].findall(PAGE)) == PAGE.count("```sh\n")
    assert all(time.endswith(" s.") and time[:-3].isdigit() for _, time in GALLERY["BLOCK"].findall(PAGE))


@pytest.mark.parametrize("model", featlearn.MODELS)
def test_each_model_has_a_picture(model):
    assert OTHERWISE.get(model, f"--model {model} ") in PAGE


def test_the_pictures_are_small():
    """Two megabytes in all; no wider than a column of a paper at 300 dots to an inch."""
    paths = list((ROOT / "docs" / "pictures").iterdir())
    assert sum(path.stat().st_size for path in paths) <= 2_000_000
    for path in paths:
        with Image.open(path) as image:
            assert image.width <= 1004, path


def featlearn_that_draws(folder):
    """A command of that name that writes down what it is asked for, and a picture to its last word."""
    folder.mkdir()
    (folder / "picture.png").write_bytes(b"a picture")
    program = folder / "featlearn"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/log\nfor last; do :; done\ncp {folder}/picture.png "$last"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder / "log"


def test_the_script_makes_the_pictures_of_a_page(tmp_path, monkeypatch):
    """What is there already is not made again, but where its command or its input has changed."""
    log = featlearn_that_draws(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "data" / "photos").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    page, pictures = tmp_path / "gallery.md", tmp_path / "pictures"
    block = (
        "```sh\nname=a\nfeatlearn train --hidden $name -o m.h5\nfeatlearn visualize m.h5 -o one.png\n```\n"
    )
    page.write_text(f"{block}\nTime: ?\n\n![a picture](pictures/one.png)\n")
    main = GALLERY["main"]
    monkeypatch.setitem(main.__globals__, "PAGE", page)
    monkeypatch.setitem(main.__globals__, "PICTURES", pictures)

    def ran():
        log.write_text("")
        main(tmp_path / "data", tmp_path / "work")
        return log.read_text().splitlines()

    assert ran() == ["train --hidden a -o m.h5", "visualize m.h5 -o one.png"]
    assert ran() == []
    assert "\nTime: 0 s.\n" in page.read_text()
    assert (tmp_path / "work" / "photos").is_symlink()
    assert (pictures / "one.png").read_bytes() == b"a picture"
    page.write_text(page.read_text().replace("visualize", "visualize --labels"))
    assert ran() == ["visualize --labels m.h5 -o one.png"]
    page.write_text(page.read_text().replace("train", "train --epochs 1"))
    assert ran() == ["train --epochs 1 --hidden a -o m.h5", "visualize --labels m.h5 -o one.png"]
    page.write_text(page.read_text().replace("name=a", "name=b"))
    assert ran() == ["train --epochs 1 --hidden b -o m.h5", "visualize --labels m.h5 -o one.png"]
    (tmp_path / "bin" / "featlearn").write_text("#!/bin/sh\nexit 3\n")
    page.write_text(page.read_text().replace("--labels ", ""))
    with pytest.raises(SystemExit, match="exit 3: name=b"):
        main(tmp_path / "data", tmp_path / "work")
