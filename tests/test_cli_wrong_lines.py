"""Wrong command lines, as people type them: one line each that says what to write in its place."""

import json
import shlex

import pytest

from featlearn.cli import usage

LINES = {  # the command line: its exit code, and the words that stand in its one line
    # commands
    "trian --model rbm": (2, "trian: no such command; did you mean train?"),
    "plot m.h5": (2, "use featlearn visualize"),
    "compare a.h5 b.h5": (2, "use featlearn evaluate"),
    "predict net.h5 p.h5": (2, "use featlearn classify"),
    "transform m.h5 p.h5": (2, "use featlearn encode"),
    "extract_patches photos": (2, "use featlearn extract-patches"),
    "Train p.h5": (2, "use featlearn train"),
    "version": (2, "use featlearn --version"),
    "photos": (2, "is a folder, wanted a command; use featlearn extract-patches photos -o patches.h5"),
    "m.h5": (2, "is a file, wanted a command; use featlearn info m.h5"),
    "frobnicate": (2, "featlearn --help lists them"),
    "--train p.h5": (2, "use featlearn train"),
    "--model rbm train": (
        2,
        "--model belongs to featlearn train, sweep or check-gradients and stands behind",
    ),
    "-v": (2, "use featlearn --version"),
    # what others call our options
    "train p.h5 --model rbm --learning-rate .1": (2, "--learning-rate: no such option; use --lr"),
    "train p.h5 --model rbm --learning_rate .1": (2, "use --lr"),
    "train p.h5 --model rbm --learningrat .1": (2, "use --lr"),
    "train p.h5 --model rbm -lr .1": (2, "-lr: no such option; use --lr"),
    "train p.h5 --model rbm --weight-decay 1e-4": (2, "use --decay l2 --decay-weight"),
    "train p.h5 --model rbm --n-hidden 9": (2, "use --hidden"),
    "train p.h5 --model pca --n_components 9": (2, "use --hidden"),
    "train p.h5 --model rbm --random-state 1": (2, "use --seed"),
    "train p.h5 --model rbm --batchsize 10": (2, "use --batch-size"),
    "train p.h5 --model rbm --epoch 3": (2, "use --epochs"),
    "train p.h5 --model rbm --Epochs 3": (2, "use --epochs"),
    "train p.h5 --model autoencoder --dropout .2": (2, "use --hidden-dropout"),
    "train p.h5 --model rbm --device cuda": (2, "the processor computes; --threads N"),
    "train p.h5 --model rbm --gpu": (2, "the processor computes; --threads N"),
    "train p.h5 --model rbm --n-jobs 2": (2, "use --threads"),
    "train p.h5 --model rbm --from m.h5": (2, "use --init-from"),
    "train p.h5 --model rbm --overwrite": (2, "use --force"),
    "extract-patches photos --patch-size 8": (2, "use --size"),
    "extract-patches photos --n-patches 100": (2, "use --count"),
    "extract-patches photos --num 100": (2, "use --count"),
    "extract-patches photos -n 100": (2, "use --count"),
    "visualize m.h5 --out m.png": (2, "use --output"),
    # spellings that are gone
    "train p.h5 --model rbm --target .02": (2, "use --sparsity-target"),
    "train p.h5 --model rbm --sparsity lee": (2, "use --sparsity-method"),
    "train p.h5 --model rbm --target-weight 2": (2, "use --sparsity-weight"),
    "train p.h5 --model sparse-autoencoder --rho .1": (2, "use --sparsity-target"),
    "train p.h5 --model sparse-autoencoder --beta 3": (2, "use --sparsity-weight"),
    "train p.h5 --model sesm --sparsity .5": (2, "use --sparsity-weight"),
    # options of another model or command
    "train p.h5 --model rbm --noise .3": (2, "error: --noise belongs to --model denoising"),
    "train p.h5 --model rbm --k 25": (2, "error: --k belongs to --model k-sparse"),
    "train p.h5 --model k-sparse --rho .1": (
        2,
        "--sparsity-target belongs to --model dbn, label-rbm, rbm or",
    ),
    "train p.h5 --hidden 9": (2, "--hidden belongs to --model NAME, such as rbm; name the model, too"),
    "train p.h5 --model rbm --size 12": (2, "p.h5 is a file of patches; leave it out"),
    "evaluate m.h5 p.h5 --size 12": (2, "error: --size belongs to featlearn extract-patches"),
    "extract-patches photos --hidden 9": (2, "--hidden belongs to featlearn train --model NAME, such as rbm"),
    "evaluate m.h5 p.h5 --k 5": (2, "--k belongs to featlearn train --model k-sparse"),
    "train p.h5 --model pca --lr .1": (2, "--lr: does nothing with --model pca"),
    # words that are nearly right, or not at all
    "train p.h5 --model rbm --hiden 9": (2, "did you mean --hidden?"),
    "info --verfy p.h5": (2, "did you mean --verify?"),
    "train p.h5 --model rbm --xyzzy": (2, "featlearn train --help lists them"),
    "train p.h5 --model rbn": (2, "--model: rbn is no choice; did you mean rbm?"),
    "train p.h5 --model rbm --decay l3": (2, "--decay: l3 is no choice; it is one of none, l1, l2"),
    # values
    "train p.h5 --model rbm --hidden abc": (2, "--hidden: abc is no whole number"),
    "train p.h5 --model rbm --hidden 1.5": (2, "--hidden: 1.5 is no whole number"),
    "train p.h5 --model rbm --hidden 0": (2, "--hidden: got 0, must be at least 1"),
    "train p.h5 --model rbm --epochs 10,000": (
        2,
        "--epochs: 10,000 is no whole number; did you mean 10000 or 10k?",
    ),
    "train p.h5 --model rbm --hidden 1,024": (2, "--hidden: 1,024 is no whole number; did you mean 1024?"),
    "train p.h5 --model rbm --batch-size 1,000": (2, "or all; did you mean 1000 or 1k?"),
    "extract-patches photos --count 2_000_000 -o o.h5": (2, "did you mean 2000000 or 2M?"),
    "train p.h5 --model rbm --lr 1,000": (2, "--lr: 1,000 is no number; did you mean 1000 or 1k?"),
    "train p.h5 --model rbm --seed abc": (2, "--seed: abc is no whole number"),
    "train p.h5 --model rbm --lr fast": (2, "--lr: fast is no number"),
    "train p.h5 --model rbm --lr -1": (2, "--lr: got -1, must be above 0"),
    "train p.h5 --model rbm --momentum 1": (2, "--momentum: got 1, must be below 1"),
    "train p.h5 --model rbm --force=yes": (2, "--force: takes no value"),
    "visualize m.h5 --json -o": (2, "-o: needs a value, -o PATH"),
    # what is missing, or too much
    "train p.h5": (2, "--model: is missing; add --model NAME such as rbm or k-sparse"),
    "extract-patches photos": (2, "-o: is missing; add -o PATH"),
    "evaluate": (2, "no model given; it is featlearn evaluate MODEL... DATASET"),
    "evaluate m.h5": (2, "no data set given beside m.h5; it is featlearn evaluate MODEL... DATASET"),
    "classify m.h5 -o c.csv": (2, "no data set given; it is featlearn classify MODEL DATASET"),
    "train p.h5 new.h5 --model rbm": (2, "one argument too many; did you mean -o new.h5?"),
    "visualize m.h5 out.png": (2, "error: out.png: no such file; did you mean -o out.png?"),
    "visualize m.h5 p.h5": (2, "2 files: --what curve draws several"),
    "encode m.h5 p.h5 out.h5": (2, "error: -o: is missing; did you mean -o out.h5?"),
    "reconstruct m.h5 p.h5 'my out.png'": (2, "-o: is missing; did you mean -o 'my out.png'?"),
    "report m.h5 p.h5 r.html": (2, "-o: is missing; did you mean -o r.html?"),
    "sample m.h5 out.png": (2, "-o: is missing; did you mean -o out.png?"),
    "extract-patches photos p.h5": (2, "-o: is missing; add -o PATH"),
    "recipe": (2, "no action given; it is featlearn recipe"),
    "info p.h5 m.h5": (2, "m.h5: more than featlearn info [FILE] takes"),
    # files of another kind
    "classify m.h5 photos -o c.csv": (1, "run featlearn extract-patches photos -o patches.h5 first"),
    "evaluate m.h5 photos": (1, "run featlearn extract-patches photos -o patches.h5 first"),
    "train m.h5 --model rbm": (1, "is a featlearn model, wanted a data set"),
    "evaluate p.h5 p.h5": (1, "is a featlearn data set, wanted a model"),
}


@pytest.fixture(scope="module")
def place(work, tmp_path_factory):
    """A data set, a model and a folder, by short names."""
    folder = tmp_path_factory.mktemp("lines")
    (folder / "p.h5").symlink_to(work.patches)
    (folder / "m.h5").symlink_to(work.model)
    (folder / "photos").mkdir()
    return folder


@pytest.mark.parametrize("line", LINES)
def test_a_wrong_command_line_is_told_what_to_write(line, place, run_here, monkeypatch):
    """On stderr, and as the object that --json asks for."""
    monkeypatch.chdir(place)
    code, words = LINES[line]
    args = shlex.split(line)
    ran = run_here(*args, *([] if "--json" in args else ["--json"]))
    told = json.loads(ran.out)
    assert (ran.code, told["exit_code"]) == (code, code), ran.err
    assert ran.err == f"featlearn: error: {told['error']}\n"
    assert words in ran.err


def test_to_look_for_an_option_leaves_the_commands_as_they_are():
    """Click keeps what it once made of a command: its help option, too."""
    assert usage._context("info").help_option_names == ["-h", "--help"]


def test_there_are_sixty_of_them():
    assert len(LINES) >= 60


RIGHT = {  # the words of a model's settings, whose letters and hyphens do not tell them apart
    "--model RBM": 'model = "rbm"',
    "--model KSparse --k 5": 'model = "k-sparse"',
    "--model k_sparse --k 5": 'model = "k-sparse"',
    "--model rbm --decay L1": 'decay = "l1"',
    "--model rbm --hidden 1e3": "hidden = 1000",
    "--model rbm --hidden 1k": "hidden = 1000",
    "--model rbm --hidden 1.5k": "hidden = 1500",
    "--model rbm --epochs 2e1": "epochs = 20",
    "--model rbm --updates 2M": "updates = 2000000",
    "--model deep-autoencoder --hidden 1k,30": "hidden = [1000, 30]",
}


@pytest.mark.parametrize("line", RIGHT)
def test_letters_hyphens_and_thousands_may_be_written_as_people_do(line, place, run_here, monkeypatch):
    monkeypatch.chdir(place)
    ran = run_here("train", "p.h5", *shlex.split(line), "--show-config")
    assert ran.code == 0, ran.err
    assert RIGHT[line] in ran.out.splitlines()


def test_featlearn_alone_shows_its_help(run_here):
    ran = run_here()
    assert ran.code == 2
    assert "Commands:" in ran.err
