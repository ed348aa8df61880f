"""featlearn recipe: what a file may say, which steps are made again, what its figures come to."""

import contextlib
import html
import json
import os
import re
import shlex
import signal
import time
from pathlib import Path

import pytest

from featlearn import _core
from featlearn.cli.output import Session
from featlearn.cli.steps import execute, files_of, settings_of_step
from featlearn.errors import ConfigError, DataError
from featlearn.files.budget import max_memory
from featlearn.files.model import read_model
from featlearn.jobs.encode import Encoded
from featlearn.jobs.recipe import run_recipe
from featlearn.jobs.recipe_data import content_of, find_data
from featlearn.jobs.recipe_file import FOLDER, RECORD, names, read_recipe
from featlearn.jobs.resources import limits
from featlearn.pictures import page
from helpers import ok, refused

HEAD = 'title = "Small"\nminutes = 0.1\n'
PATCHES = "extract-patches pink-noise --images 2 --size 4 --count 200 --whiten none -o patches.h5"
STEPS = f"""
[steps]
patches = "{PATCHES}"
model = "train patches.h5 --model rbm --hidden 5 --epochs 2 --lr 0.01 -o model.h5"
pca = "train patches.h5 --model pca --hidden 5 -o pca.h5"
report = "report model.h5 pca.h5 patches.h5 -o report.html"
"""
FIGURE = """
[[figures]]
name = "RMSE of PCA over that of the RBM"
value = "report.measured.1.rmse"
over = "report.measured.0.rmse"
published = 0.5
high = 1
source = "nobody"
"""


def write(folder, text, name="small.toml"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def shipped():
    return {name: read_recipe(name, files_of) for name in names()}


def test_shipped_recipes_are_complete(shipped):
    """Reading one parses each of its command lines by the commands' own options."""
    assert {
        "demo",
        "blog",
        "lecture",
        "strokes",
        "k-sparse",
        "denoising",
        "sesm",
        "likelihoods",
        "dbn",
    } <= set(shipped)
    for recipe in shipped.values():
        assert recipe.sources
        assert recipe.figures
        assert bool(recipe.needs) == bool(recipe.data)
        assert recipe.steps[-1].words[0] == "report"
        assert len(recipe.title) <= 110
        for figure in recipe.figures:  # of a step that prints such a thing
            assert {recipe.step(key.split(".")[0]).words[0] for key in figure.keys} <= {
                *("train", "evaluate", "report", "classify", "info")
            }
    assert not shipped["demo"].data


def test_they_come_with_the_package():
    assert "recipes/*.toml" in (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert FOLDER.parent.name == "featlearn"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = 'x'", "minutes: is missing"),
        ("title = ", "not a TOML file"),
        (HEAD + "minuets = 1\n" + STEPS, "did you mean minutes?"),
        (HEAD + "[steps]\n", "steps: there are none"),
        (HEAD.replace("0.1", "'a'") + STEPS, "minutes: got 'a', wanted a number"),
        (HEAD + "[steps]\na = 'trian x.h5'", "steps.a: No such command 'trian'"),
        (HEAD + "[steps]\na = 'train --model rbm --hiden 3'", "steps.a: No such option"),
        (HEAD + "[steps]\na = 'train --model rbm --hidden few'", "steps.a:"),
        (HEAD + "[steps]\na = 'train --help'", "prints a help page"),
        (HEAD + "[steps]\na = ''", "steps.a: the command is missing"),
        (HEAD + "[steps]\na = 'recipe run demo'", "a recipe is no step"),
        (HEAD + '[steps]\na = "train \'x"', "steps.a: no closing quotation"),
        (HEAD + "[steps]\nA_1 = 'info'", "A_1 is no name"),
        (HEAD + "[steps]\na = 'train --model rbm -o ../x.h5'", "wanted a name without folders"),
        (HEAD + f"[steps]\na = 'train --model rbm -o {RECORD}'", "which holds the record"),
        (
            HEAD + "[steps]\na = 'train --model rbm -o x.h5'\nb = 'train --model pca -o x.h5'",
            "which a writes",
        ),
        (HEAD + "[steps]\na = 'info {photos}'", "{photos} is not named in [data]"),
        (HEAD + "[data]\nphotos = '*.jpg'\n" + STEPS, "data.photos: no step uses it"),
        (HEAD + "[data]\nphotos = 'a/b'\n[steps]\na = 'info {photos}'", "data.photos: got a/b"),
        (HEAD + "sources = 'x'\n" + STEPS, "sources: got 'x', wanted a list"),
        (HEAD + STEPS + FIGURE.replace("high = 1\n", ""), "number 1: low or high is missing"),
        (HEAD + STEPS + FIGURE.replace("high = 1\n", "high = true\n"), "high: got True, wanted a number"),
        (HEAD + STEPS + FIGURE + "low = 2\n", "low 2 is above high 1"),
        (HEAD + STEPS + FIGURE + "lwo = 2\n", "did you mean low?"),
        (HEAD + STEPS + FIGURE + "minus = 'report.x'\n", "over and minus contradict"),
        (HEAD + STEPS + FIGURE.replace("report.measured.1", "measured.1"), "is not STEP.KEY"),
        (HEAD + STEPS + "[[figures]]\nname = 'x'\nlow = 1", "value is missing"),
    ],
)
def test_what_is_no_recipe_is_refused_in_one_line(text, words, tmp_path):
    path = write(tmp_path, text)
    with pytest.raises((DataError, ConfigError)) as caught:
        read_recipe(str(path), files_of)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_nobody_knows_is_refused(run_here, tmp_path):
    refused(run_here("recipe", "show", "demmo"), "did you mean demo?", code=2)
    refused(run_here("recipe", "run", tmp_path / "no.toml"), "no such file")
    refused(run_here("recipe", "run"), "which one is missing", code=2)
    refused(run_here("recipe", "list", "--force"), "--force: does nothing without run", code=2)
    refused(run_here("recipe", "run", "demo", "--data", tmp_path), "needs no data", code=2)


class Commands:
    """Stand for commands: each writes its words, and what it reads, into its output; in no order."""

    def __init__(self):
        self.ran, self.failing = [], None

    def __call__(self, folder, words, more):
        files = files_of(words)
        if self.failing == files.outputs[0]:
            raise DataError("the disk is gone")
        self.ran.append((files.outputs[0], tuple(more)))
        read = [content_of(os.path.join(folder, word)) for word in words if word not in files.outputs]
        for path in files.outputs:
            made = json.dumps([sorted(words), read])
            (Path(folder) / path).write_bytes(page.page("made", page.paragraph(made)))
        return {"measured": [{"rmse": 2.0}, {"rmse": 1.0}]}

    def take(self):
        ran, self.ran = [output for output, _ in self.ran], []
        return ran


DATA = """
[data]
photos = "*.jpg"
[steps]
a = "extract-patches {photos} --size 4 -o a.h5"
b = "train a.h5 --model pca --hidden 3 -o b.h5"
c = "train a.h5 --model rbm --hidden 3 -o c.h5"
d = "report b.h5 a.h5 -o d.html"
"""


@pytest.fixture
def made(tmp_path):
    """A recipe of four steps that was made once, as a function that makes it again."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_text("one")
    commands = Commands()

    def again(change=lambda text: text, **more):
        recipe = read_recipe(str(write(tmp_path, change(HEAD + DATA))), files_of)
        said = []
        where = {"data": [str(tmp_path)], "execute": commands, "say": said.append}
        run_recipe(recipe, str(tmp_path / "out"), **where, **more)
        return said

    again.commands, again.folder = commands, tmp_path
    again()
    assert commands.take() == ["a.h5", "b.h5", "c.h5", "d.html"]
    return again


def test_no_step_is_made_twice(made):
    for path in (made.folder / "photos" / "1.jpg", made.folder / "out" / "a.h5"):
        os.utime(path, (1, 1))
    said = made()
    assert made.commands.take() == []
    assert said == [f"step {i} of 4, {name}: done before" for i, name in enumerate("abcd", 1)]


def test_a_changed_setting_makes_what_depends_on_it(made):
    said = made(lambda text: text.replace("pca --hidden 3", "pca --hidden 2"))
    assert made.commands.take() == ["b.h5", "d.html"]
    assert "anew since command was 'train a.h5 --model pca --hidden 3 -o b.h5'" in said[1]
    assert "anew since content of b.h5 was" in said[3]
    made(lambda text: text.replace("pca --hidden 3", "pca --hidden 2"))
    assert made.commands.take() == []


def test_changed_data_make_what_depends_on_them(made):
    (made.folder / "photos" / "2.jpg").write_text("two")
    assert "anew since content of {photos}" in made()[0]
    assert made.commands.take() == ["a.h5", "b.h5", "c.h5", "d.html"]


def test_a_step_of_the_same_output_changes_no_other(made):
    """What follows from a file is made anew by its content, not because it was written anew."""
    made(lambda text: text.replace("--model pca --hidden 3", "--hidden 3 --model pca"))
    assert made.commands.take() == ["b.h5"]


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("other")])
def test_an_output_that_is_gone_or_another_is_made_again(made, change):
    change(made.folder / "out" / "b.h5")
    assert "step 2 of 4, b, anew since b.h5 is" in made()[1]
    assert made.commands.take() == ["b.h5"]


def test_a_failed_step_is_named_and_the_rest_goes_on(made):
    (made.folder / "out" / "c.h5").unlink()
    (made.folder / "out" / "d.html").unlink()
    made.commands.failing = "d.html"
    with pytest.raises(DataError, match="step d: the disk is gone"):
        made()
    assert made.commands.take() == ["c.h5"]
    made.commands.failing = None
    made()
    assert made.commands.take() == ["d.html"]


def test_what_a_killed_step_has_written_is_replaced(made):
    """It stands in the record before it is made, so that it is known to be ours."""
    (made.folder / "out" / RECORD).unlink()
    for path in (made.folder / "out").iterdir():
        path.unlink()

    def killed(folder, words, more):
        (Path(folder) / "a.h5").write_text("whole")
        raise KeyboardInterrupt

    recipe = read_recipe(str(made.folder / "small.toml"), files_of)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, str(made.folder / "out"), data=[str(made.folder)], execute=killed)
    made.commands.ran.clear()
    made()
    assert made.commands.ran[0] == ("a.h5", ("--force",))


def test_another_version_makes_all_anew(made, monkeypatch):
    monkeypatch.setattr("featlearn.jobs.recipe.__version__", "9")
    assert "featlearn was" in made()[0]
    assert len(made.commands.take()) == 4


def test_a_model_that_cannot_be_read_is_made_anew(ran, run_here):
    """As one of another version of the format; it is no error of the recipe."""
    path, out, found = ran
    model = out / "model.h5"
    whole = model.read_bytes()
    model.write_bytes(whole[:-100])
    again = ok(run_here("recipe", "run", path, "-o", out, "--json"))
    assert "model, anew since model.h5 is another" in again.err
    assert model.read_bytes() == whole
    assert json.loads(again.out) == found


def test_files_of_others_are_replaced_by_force_alone(tmp_path):
    recipe = read_recipe(str(write(tmp_path, HEAD + STEPS)), files_of)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.h5").write_text("mine")
    for force in (False, True):
        commands = Commands()
        run_recipe(recipe, str(tmp_path / "out"), execute=commands, force=force)
        options = dict(commands.ran)
        assert "--force" in options["pca.h5"] or not force
        assert ("--force" in options["model.h5"]) == force
        assert "--resume" in options["model.h5"]
        assert "--resume" not in options["report.html"]
        (tmp_path / "out" / RECORD).unlink()
        (tmp_path / "out" / "model.h5").write_text("mine")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"steps": 5}', '{"recipe": "small", "steps": {"a": {"outputs": 5}}}']
)
def test_a_damaged_record_is_named(made, text):
    (made.folder / "out" / RECORD).write_text(text)
    with pytest.raises(DataError, match="is damaged; remove it"):
        made()


def test_a_folder_is_of_one_recipe(made):
    path = made.folder / "out" / RECORD
    path.write_text(path.read_text().replace('"small"', '"other"'))
    with pytest.raises(DataError, match="holds files of the recipe 'other'"):
        made()


def test_where_data_are_found(tmp_path):
    text = HEAD + "[data]\nphotos = '*.jpg'\nlabels = 'labels.gz'\n[steps]\na = 'info {photos} {labels}'"
    with pytest.raises(DataError, match="Got unexpected"):
        read_recipe(str(write(tmp_path, text)), files_of)
    text = text.replace("info {photos} {labels}", "extract-patches {photos} --labels {labels} -o a.h5")
    recipe = read_recipe(str(write(tmp_path, text)), files_of)
    with pytest.raises(DataError, match=r"needs photos, a folder of \*.jpg"):
        find_data(recipe, [str(tmp_path)])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").touch()
    (tmp_path / "b" / "labels").touch()  # unpacked
    with pytest.raises(DataError, match="say --data photos=PATH"):
        find_data(recipe, [str(tmp_path)])
    found = find_data(recipe, [str(tmp_path), f"photos={tmp_path / 'a'}"])
    assert found == {"photos": str(tmp_path / "a"), "labels": str(tmp_path / "b" / "labels")}
    assert find_data(recipe, [str(tmp_path / "b")])["photos"] == str(tmp_path / "b")
    with pytest.raises(DataError, match="no such folder"):
        find_data(recipe, [str(tmp_path / "c")])


@pytest.fixture(scope="session")
def ran(tmp_path_factory, run_here):
    """A small recipe that was run by the command line: its file, folder and JSON."""
    folder = tmp_path_factory.mktemp("ran")
    path = write(folder, HEAD + STEPS + FIGURE)
    done = ok(run_here("recipe", "run", path, "-o", folder / "out", "--json"))
    return path, folder / "out", json.loads(done.out)


def test_a_run_ends_in_a_page_and_its_figures(ran, run_here):
    path, out, found = ran
    (row,) = found["figures"]
    measured = [
        json.loads(run_here("evaluate", out / name, out / "patches.h5", "--json").out)["models"][0]["rmse"]
        for name in ("pca.h5", "model.h5")
    ]
    assert row["here"] == measured[0] / measured[1]
    assert (row["published"], row["expected"], row["reproduced"]) == (0.5, "at most 1", True)
    assert found["page"] == str(out / "report.html")
    assert b"pca.h5" in (out / "report.html").read_bytes()
    again = ok(run_here("recipe", "run", path, "-o", out))
    assert again.err.count("done before") == 4
    head, line = again.out.splitlines()
    assert head.split() == ["figure", "published", "expected", "here"]
    assert line.split()[-1] == f"{row['here']:.4g}"


HOSTILE = "<script>alert(1)</script> & 'quoted'"


def test_the_page_has_the_figures_in_front(ran, run_here):
    """Those of the last run, once, beside their notes and sources, and as text; no step is made again."""
    path, out, _ = ran
    bytes_of = (out / "report.html").read_bytes
    first = bytes_of()
    assert b"OUT OF RANGE" not in first
    other = FIGURE.replace("high = 1", f"""low = 5\nnote = "known {HOSTILE}" """).replace("nobody", HOSTILE)
    head = HEAD + f"""about = "{HOSTILE}"\nsources = ["A paper by {HOSTILE}"]\n"""
    write(path.parent, head + STEPS + other)
    found = run_here("recipe", "run", path, "-o", out)
    assert found.code == 1
    assert found.err.count("done before") == 4
    second = bytes_of().decode()
    front = second.partition("</h1>\n")[2].partition("</section>\n")[0]
    assert front.startswith('<section id="front">\n<h2>Recipe small: Small</h2>')
    assert second.count('id="front"') == 1
    cells = [html.unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", front)]
    assert cells[:6] == ["figure", "published", "expected", "here", "verdict", "source"]
    here = found.out.splitlines()[1].split("at least 5")[1].split()[0]
    assert cells[6:] == [
        *("RMSE of PCA over that of the RBM", "0.5", "at least 5", here, "OUT OF RANGE", HOSTILE),
    ]
    assert front.count("alarm") == 1
    assert html.unescape(front).count(HOSTILE) == 4
    assert "<script" not in front
    assert second.replace(front, "", 1) == first.decode().replace(
        first.decode().partition("</h1>\n")[2].partition("</section>\n")[0], "", 1
    )
    write(path.parent, HEAD + STEPS + FIGURE)
    assert ok(run_here("recipe", "run", path, "-o", out)).err.count("done before") == 4
    assert bytes_of() == first


def test_a_figure_whose_range_is_not_the_published_one_is_told_so(ran, run_here):
    path, out, _ = ran
    other = write(path.parent, HEAD + STEPS + FIGURE.replace("published = 0.5", "published = 2"))
    found = ok(run_here("recipe", "run", other, "-o", out))
    page_ = (out / "report.html").read_text()
    write(path.parent, HEAD + STEPS + FIGURE)
    ok(run_here("recipe", "run", path, "-o", out))
    assert found.out.splitlines()[1].endswith("not as published")
    assert page_.count("not as published") == 1


@pytest.mark.parametrize("range_", ["high = 0", "low = 5", "low = 1e9\nnote = 'known'"])
def test_a_figure_out_of_its_range_is_exit_1(ran, range_, run_here):
    path, out, _ = ran
    other = write(path.parent, HEAD + STEPS + FIGURE.replace("high = 1", range_))
    found = run_here("recipe", "run", other, "-o", out)
    write(path.parent, HEAD + STEPS + FIGURE)
    assert found.code == 1
    assert "OUT OF RANGE" in found.out
    assert sum(line.startswith("out of range: RMSE of PCA over") for line in found.err.splitlines()) == 1


def test_a_figure_that_is_not_there_is_out_of_range(ran, run_here):
    path, out, _ = ran
    write(path.parent, HEAD + STEPS + FIGURE.replace("1.rmse", "1.log_z"))
    found = run_here("recipe", "run", path, "-o", out, "--json")
    write(path.parent, HEAD + STEPS + FIGURE)
    assert found.code == 1
    assert json.loads(found.out)["figures"][0]["here"] is None
    assert "is not there" in found.err


def test_the_commands_that_are_shown_work_as_printed(ran, run_here, tmp_path, monkeypatch):
    path, out, _ = ran
    monkeypatch.chdir(tmp_path)
    lines = [
        line for line in ok(run_here("recipe", "show", path)).out.splitlines() if line and line[0] != "#"
    ]
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "featlearn"
        ok(run_here(*words))
    for name in ("model.h5", "pca.h5"):
        by_hand, by_recipe = (read_model(str(folder / name)) for folder in (tmp_path, out))
        assert by_hand.content_hash == by_recipe.content_hash
        assert by_hand.provenance["argv"] == by_recipe.provenance["argv"]


def test_shown_paths_are_quoted(tmp_path, run_here):
    path = write(tmp_path, HEAD + DATA)
    (tmp_path / "my photos").mkdir()
    (tmp_path / "my photos" / "1.jpg").touch()
    shown = ok(run_here("recipe", "show", path, "--data", tmp_path)).out
    assert f"featlearn extract-patches '{tmp_path}/my photos' --size 4 -o a.h5" in shown
    assert "featlearn extract-patches photos --size 4 -o a.h5" in ok(run_here("recipe", "show", path)).out


def test_threads_and_memory_of_a_step_end_with_it(tmp_path, monkeypatch):
    """Also of one that is read and not made."""
    seen = []

    def encode(**options):
        seen.append((_core.get_threads(), max_memory()))
        return Encoded("x.h5", 1, 1, 1, 0.0, 1.0)

    monkeypatch.setattr("featlearn.jobs.encode.encode", encode)
    with limits(1, 2**30):
        for more in ("", " --threads 3 --max-memory 1MB", ""):
            words = ("encode m.h5 d.h5 -o x.h5" + more).split()
            execute(Session(quiet=True), str(tmp_path), words, [])
            files_of(words)
    assert seen == [(1, 2**30), (3, 10**6), (1, 2**30)]


def test_nothing_outside_changes_a_step(tmp_path, monkeypatch):
    """No variable of the environment; and threads that were set stay so."""
    monkeypatch.setenv("FEATLEARN_TRAIN_LR", "0.5")
    before = _core.get_threads()
    _core.set_threads(1)
    try:
        words = "train --model rbm --hidden 3 --updates 2 -o x.h5"
        found = execute(Session(quiet=True, json=True), str(tmp_path), words.split(), ["--resume"])
        assert _core.get_threads() == 1
    finally:
        _core.set_threads(before)
    file = read_model(str(tmp_path / "x.h5"))
    assert file.training["lr"] != 0.5
    assert found["updates"] == 2
    assert file.provenance["argv"] == ["featlearn", *words.split()]
    assert os.environ["FEATLEARN_TRAIN_LR"] == "0.5"


def test_a_step_that_is_killed_goes_on(tmp_path, start, run_here):
    """After SIGKILL in the midst of a training, and after SIGTERM: the same bytes as without."""
    steps = STEPS.replace("--epochs 2", "--epochs 30 --checkpoint-every 0")
    path = write(tmp_path, HEAD + steps)
    for signum in (signal.SIGKILL, signal.SIGTERM):
        process = start("recipe", "run", path, "-o", "out", "-q", cwd=tmp_path)
        ckpt = tmp_path / "out" / "model.h5.ckpt"
        seen = ckpt.stat().st_ino if ckpt.exists() else None
        while process.poll() is None and (not ckpt.exists() or ckpt.stat().st_ino == seen):
            time.sleep(0.01)
        process.send_signal(signum)
        assert process.wait() == -signum
    done = ok(run_here("recipe", "run", path, "-o", tmp_path / "out"))
    assert "step 1 of 4, patches: done before" in done.err
    assert "going on with model.h5.ckpt at update" in done.err
    whole = steps.partition('model = "')[2].partition('"')[0].replace("-o model.h5", "-o whole.h5")
    with contextlib.chdir(tmp_path / "out"):
        ok(run_here(*whole.split()))
    assert (
        read_model(str(tmp_path / "out" / "whole.h5")).content_hash
        == read_model(str(tmp_path / "out" / "model.h5")).content_hash
    )


def test_train_takes_the_settings_of_a_step(ran, run_here):
    path, out, _ = ran
    shown = ok(run_here("train", out / "patches.h5", "--recipe", f"{path}:model", "--show-config")).out
    words = read_recipe(str(path), files_of).step("model").words[2:-2]
    assert shown == ok(run_here("train", out / "patches.h5", *words, "--show-config")).out
    typed = ok(
        run_here("train", out / "patches.h5", "--recipe", f"{path}:model", "--hidden", 7, "--show-config")
    ).out
    assert typed == shown.replace("hidden = 5", "hidden = 7")


def test_a_step_of_layers_is_taken_too(run_here):
    found = settings_of_step("dbn:greedy", "train")
    assert len(found["layer"]) == 3
    assert "label-rbm:hidden=2000,lr=0.05,epochs=30" in found["layer"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("demo", "say which step: demo:edges"),
        ("demo:edgse", "did you mean edges?"),
        ("demo:patches", "that step is of extract-patches, wanted one of train"),
        ("nothing", "no such recipe"),
    ],
)
def test_a_step_that_cannot_be_taken_is_refused(said, words, run_here):
    refused(run_here("train", "--recipe", said), words, code=2)


def test_a_setting_of_another_model_is_refused(run_here):
    refused(
        run_here("train", "--recipe", "demo:edges", "--model", "pca"), "--recipe: --lr: does nothing", code=2
    )
