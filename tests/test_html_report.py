"""featlearn report: one page that holds what evaluate measures, and nothing from elsewhere."""

import base64
import html
import io
import json
import re
import xml.dom.minidom
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from featlearn.analysis.coding import Extent, codings
from featlearn.files.model import read_model, write_model
from featlearn.jobs import report as job
from featlearn.jobs import store
from featlearn.jobs.methods import methods, papers, settings_of
from featlearn.jobs.store import load_model, load_rows
from featlearn.models import model_class, model_ids
from featlearn.pictures import page
from featlearn.rows import Encoded, blocks
from helpers import ok, refused

EMPTY = {"meta", "img", "link", "br", "wbr", "hr", "input"}
"""Elements that have no end."""


class Page(HTMLParser):
    """A page as a browser sees it; elements that are not closed in their order are found."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    def values(self, name):
        return [value for _, own, value in self.attributes if own == name]

    @property
    def text(self):
        return "".join(self.words)


def read(path):
    return Page(path.read_text("utf-8"))


def cells(text, caption):
    """Return a table by its caption: a mapping of mappings, of the words that are shown."""
    inner = next(one for one in re.findall(r"<table>.*?</table>", text, re.DOTALL) if caption in one)
    rows = [
        [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in re.findall(r"<tr>.*?</tr>", inner)
    ]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:]}


@pytest.fixture(scope="module")
def made(work, run_here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    ok(run_here(*("train", work.patches, "--model", "pca", "--hidden", 9, "-o", folder / "pca.h5")))
    args = (work.model, folder / "pca.h5", work.patches)
    ok(run_here("report", *args, "-o", folder / "r.html"))
    return folder, args


def test_the_numbers_are_those_of_evaluate(made, run_here):
    folder, args = made
    rows = json.loads(ok(run_here("evaluate", *args, "--json")).out)["models"]
    assert [row["model"] for row in rows] == [str(path) for path in args[:2]]
    found = cells((folder / "r.html").read_text("utf-8"), "All measures")
    (first, second) = next(iter(found.values()))
    for row, name in zip(rows, (first, second), strict=True):
        for key in row.keys() - {"model", "advice"}:
            assert found[key][name] == page.number(row[key]), key
    beside = cells((folder / "r.html").read_text("utf-8"), "main measures")
    assert beside["pca"]["kind"] == "pca"
    assert beside["pca"]["rmse"] == found["rmse"]["pca"]


def test_the_same_input_makes_the_same_bytes(made, run_here, tmp_path, monkeypatch):
    folder, args = made
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    ok(run_here("report", *args, "--threads", 2, "-o", tmp_path / "again.html"))
    assert (tmp_path / "again.html").read_bytes() == (folder / "r.html").read_bytes()


def test_a_page_loads_nothing_and_runs_its_own_script_alone(made):
    found = read(made[0] / "r.html")
    assert found.tags.count("script") == 1
    assert all(value.startswith("data:") for value in found.values("src"))
    assert all(value.startswith("#") for value in found.values("href"))
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name == "style"]
    assert not re.search(r"url\(|@import|fetch|XMLHttp", page.STYLE + page.SCRIPT)
    (policy,) = (value for value in found.values("content") if "default-src" in value)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    ids = found.values("id")
    assert len(set(ids)) == len(ids)
    assert {value[1:] for value in found.values("href")} == set(ids)


def test_headings_break_on_paper_where_words_end():
    """After an underscore, and within what is longer than a column can be; the words stay what they are."""
    names = ["name", "coherence", "explained_variance", "<b>_" + "n" * 40]
    made = page.table("t", names, [["a", 1.0, "of words", page.Alarm("x" * 30)]])
    found = re.findall(r'<button type="button">(.*?)</button>', made)
    assert found[:3] == ["name", "coherence", "explained_<wbr>variance"]
    assert max(map(len, found[3].replace("&lt;b&gt;", "<b>").split("<wbr>"))) == page.PIECE
    assert [html.unescape(one.replace("<wbr>", "")) for one in found] == names
    assert re.findall("<td[^>]*>", made) == [
        *('<td data-value="1.0">', '<td class="words">', '<td class="words long alarm">'),
    ]


def test_the_pictures_are_those_of_the_models(made):
    folder, (model, _, _) = made
    learned = load_model(str(model))
    sources = read(folder / "r.html").values("src")
    sheets = [base64.b64decode(one.split(",")[1]) for one in sources if one.startswith("data:image/png")]
    assert len(sheets) == 2
    with Image.open(io.BytesIO(sheets[0])) as sheet:
        tile = np.asarray(sheet)[1 : 1 + learned.shape[0], 1 : 1 + learned.shape[1]]
    F = learned.preprocess.to_pixels(learned.model.filters())[0].reshape(learned.shape[:2])
    np.testing.assert_allclose(tile, 128 + 127 * F / np.abs(F).max(), atol=0.51)
    drawings = [base64.b64decode(one.split(",")[1]) for one in sources if one.startswith("data:image/svg")]
    assert len(drawings) == 4  # bits, a learning curve (pca has one epoch), two histograms
    for one in drawings:
        assert not re.search(rb'(?:href|src)="(?!#)', one)
        xml.dom.minidom.parseString(one)


def test_the_histogram_counts_every_code_value(work):
    learned = load_model(str(work.model))
    rows = load_rows(str(work.patches), like=learned, say=print)[0]
    H = learned.model.encode(rows.block(0, len(rows)))
    extent = Extent()
    extent.add(extent.of_block(H, H, None))
    for coding in codings(learned.model, Encoded(learned.model, rows), extent, 1.0, (5, 64)):
        assert coding.counts.sum() == H.size
        nearest = np.abs(H.ravel().astype(np.float64)[:, None] - coding.levels).argmin(axis=1)
        assert np.abs(np.bincount(nearest, minlength=coding.bins) - coding.counts).sum() <= 2  # half-way ones
    assert sum(len(X) for X in blocks(rows)) == len(H)


HOSTILE = "<script>alert(1)</script>&\"'`\x1b\u202e.h5".replace("/", "\N{DIVISION SLASH}")


@pytest.mark.parametrize("name", [HOSTILE, "\udcff<b>.h5", "n" * 240 + "<i>.h5", "_$x^2$.h5"])
def test_any_name_is_text(name, work, run_here, tmp_path):
    model, data, out = tmp_path / name, tmp_path / ("d" + name), tmp_path / "r.html"
    learned = read_model(str(work.model))
    learned.provenance = {"argv": ["featlearn", HOSTILE], "inputs": [{"name": HOSTILE, "digest": HOSTILE}]}
    write_model(str(tmp_path / "m.h5"), learned)
    (tmp_path / "m.h5").rename(model)
    data.write_bytes(work.patches.read_bytes())
    ok(run_here("report", model, model, data, "-o", out))
    found = read(out)
    assert found.tags.count("script") == 1
    assert not {"b", "i"} & set(found.tags)
    assert "<script>alert" in found.text
    assert all(line.isprintable() for line in found.text.splitlines())
    assert len(read(out).text.split("\n")[0]) < 300


def test_models_that_give_no_rows_and_few_labels(work, run_here, tmp_path):
    net, out = tmp_path / "net.h5", tmp_path / "r.html"
    ok(run_here("finetune", work.model, work.labelled, "--epochs", 1, "-o", net))
    args = (net, work.model, work.labelled, "--train", work.labelled, "--per-class", "2,5", "--draws", 2)
    ok(run_here("report", *args, "-o", out))
    rows = json.loads(ok(run_here("evaluate", *args, "--json")).out)["models"]
    found = cells(out.read_text("utf-8"), "Errors in %")
    for name, row in zip(("net", "model"), rows, strict=True):
        mean, spread = (100 * row[f"classifier_{what}_5"] for what in ("error", "spread"))
        assert found[f"classifier: {name}"]["5 per class"] == f"{mean:.2f} \N{PLUS-MINUS SIGN} {spread:.2f}"
    assert cells(out.read_text("utf-8"), "main measures")["net"]["rmse"] == page.NONE


def test_a_page_is_small_however_large_the_models_are(work, monkeypatch, run_here, tmp_path):
    monkeypatch.setattr(job, "SHEET_VALUES", 5 * 64)
    ok(run_here("report", work.model, work.patches, "-o", tmp_path / "r.html"))
    learned = load_model(str(work.model))
    count = 5 * 64 // int(np.prod(learned.shape))
    assert f"The first {count} of {len(learned.model.filters())} filters" in read(tmp_path / "r.html").text


def test_what_must_not_be_written_is_refused_before_any_work(work, run_here, tmp_path):
    refused(run_here("report", work.model, work.patches, "-o", tmp_path / "r.pdf"), "r.pdf", ".html", code=2)
    refused(run_here("report", work.model, work.patches, "-o", work.model), "also an input")
    (tmp_path / "r.html").write_text("kept")
    refused(run_here("report", work.model, work.patches, "-o", tmp_path / "r.html"), "--force")
    assert (tmp_path / "r.html").read_text() == "kept"
    refused(
        run_here("report", work.model, work.patches, "-o", tmp_path / "s.html", "--draws", 2),
        "--train",
        code=2,
    )


def test_the_methods_paragraph_says_what_was_run(work, run_here, tmp_path):
    out = tmp_path / "m.h5"
    more = ("--decay", "l2", "--decay-weight", ".02", "--lr", ".03", "--epochs", 2, "--batch-size", 50)
    ok(run_here("train", work.patches, "--hidden", 7, *more, "--seed", 5, "--model", "rbm", "-o", out))
    learned = load_model(str(out))
    said = methods(learned)
    steps = 2 * -(-len(load_rows(str(work.patches), say=print)[0]) // 50)
    for words in (
        "a restricted Boltzmann machine (Hinton, 2002; Hinton, 2010) with 7 units",
        f"2 epochs ({steps:,} updates) of stochastic gradient descent, learning rate 0.03",
        "50 rows in a minibatch, L2 weight decay 0.02",
        "seed 5",
        learned.file.content_hash,
    ):
        assert words in said
    settings = settings_of(learned.file)
    assert settings["decay_weight"] == 0.02
    assert "l1_method" not in settings  # it does nothing here
    assert "sparsity_memory" not in settings
    after = tmp_path / "after.h5"
    ok(run_here("train", work.patches, "--model", "rbm", "--init-from", out, "--epochs", 1, "-o", after))
    said = methods(load_model(str(after)))
    assert f"It began with the parameters of {out} (SHA-256 {learned.file.content_hash})." in said
    assert f"pixels ({work.patches})" in said
    assert "init scale" not in said


def test_the_methods_paragraph_takes_no_other_file_for_the_data(work, run_here, tmp_path):
    """Targets, labels, held-out rows and the model that a run begins at are inputs, and are none."""
    np.save(tmp_path / "targets.npy", np.full((1, 4), 0.3))
    digits = np.random.default_rng(0).integers(0, 256, (30, 6, 6), dtype=np.uint8)
    np.save(tmp_path / "digits.npy", digits)
    labels = np.array([0x801, 30], ">i4").tobytes() + (np.arange(30) % 3).astype(np.uint8).tobytes()
    (tmp_path / "labels.idx").write_bytes(labels)
    train = ("train", "--hidden", 4, "--epochs", 1, "--model", "rbm", "-o")
    whole = ("--size", "whole")
    more = ("--hidden-targets", tmp_path / "targets.npy", "--validation-data", work.patches)
    ok(run_here(*train, tmp_path / "a.h5", work.patches, *more))
    ok(
        run_here(
            *train, tmp_path / "b.h5", tmp_path / "digits.npy", "--labels", tmp_path / "labels.idx", *whole
        )
    )
    net = ("finetune", tmp_path / "a.h5", work.labelled, "--epochs", 1)
    ok(run_here(*net, "-o", tmp_path / "c.h5"))
    for name, data, shape in (
        ("a.h5", work.patches, "8x8"),
        ("b.h5", tmp_path / "digits.npy", "6x6"),
        ("c.h5", work.labelled, "8x8"),
    ):
        learned = load_model(str(tmp_path / name))
        assert f"from patches of {shape} pixels ({data})." in methods(learned)
    assert {one["role"] for one in learned.file.provenance["inputs"]} == {"data", "starting model"}


def test_the_methods_paragraph_of_what_was_put_together_names_the_data(work, run_here, tmp_path, monkeypatch):
    """Those of the lowest layer, be it a stack itself, and however long its story is."""
    monkeypatch.chdir(tmp_path)
    train = ("--hidden", 4, "--epochs", 1, "--model", "rbm", "-o")
    stacked = ("--layer", "rbm:hidden=4", "--layer", "rbm:hidden=4", "--epochs", 1, "-o")
    ok(run_here("train", work.patches, *train, "a.h5"))
    ok(run_here("train", work.patches, "--model", "stack", *stacked, "two.h5"))
    for lowest, most in (("two.h5", store.PROVENANCE_BYTES), ("a.h5", store.PROVENANCE_BYTES), ("a.h5", 0)):
        ok(run_here("encode", lowest, work.patches, "-o", "codes.h5", "--force"))
        ok(run_here("train", "codes.h5", *train, "top.h5", "--force"))
        with monkeypatch.context() as limited:
            limited.setattr(store, "PROVENANCE_BYTES", most)
            ok(run_here("stack", lowest, "top.h5", "-o", "s.h5", "--force"))
        assert f"from patches of 8x8 pixels ({work.patches})." in methods(load_model("s.h5"))


@pytest.mark.parametrize("id", model_ids())
def test_a_model_names_its_paper(id):
    """The one that its file tells of; no model has that of the one that it is derived from."""
    cls = model_class(id)
    assert {"title", "papers"} <= vars(cls).keys()
    assert cls.title
    assert cls.papers
    text = " ".join(__import__(cls.__module__, fromlist=["_"]).__doc__.split())
    for paper in cls.papers:
        assert str(paper.year) in text
        assert paper.authors[0] in text


def test_references_in_bibtex():
    files = [type("File", (), {"model": id, "layers": []}) for id in model_ids()]
    cited = papers(files)
    assert len({paper.key for paper in cited}) == len(cited)
    for paper in cited:
        assert re.fullmatch(r"@\w+\{[a-z-]+\d{4}[a-z]+,\n(  \w+ = \{.*\},?\n)+\}", paper.bibtex)
        assert paper.bibtex.count("{") == paper.bibtex.count("}")
        assert paper.bibtex.isascii()


def test_a_training_of_all_rows_at_once_is_described(work, tmp_path, run_here):
    path = str(tmp_path / "all.h5")
    options = ("--hidden", 4, "--optimizer", "lbfgs", "--batch-size", "all", "--epochs", 2)
    ok(run_here("train", work.patches, "--model", "autoencoder", *options, "-o", path))
    assert "all rows at once" in methods(load_model(path))
