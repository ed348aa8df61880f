"""The papers that models are of, each declared once; a model names its own as `papers`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A published work."""

    kind: str
    """Of the entry in BibTeX: article, inproceedings, techreport or misc."""
    authors: tuple[str, ...]
    """Each as "G. Hinton"."""
    title: str
    venue: str
    """The journal, conference or institution, with volume and pages where it has them."""
    year: int

    @property
    def key(self) -> str:
        """The entry's name: "hinton2006fast"."""
        first = next(word for word in self.title.lower().replace("-", " ").split() if len(word) > 3)
        return f"{self.authors[0].split()[-1].lower()}{self.year}{first}"

    @property
    def short(self) -> str:
        """The paper as a text cites it: "Hinton & Salakhutdinov, 2006"."""
        names = [author.split(" ", 1)[1] for author in self.authors]
        if len(names) > 2:
            names = [f"{names[0]} et al."]
        return f"{' & '.join(names)}, {self.year}"

    @property
    def full(self) -> str:
        """One line for a list of references."""
        return f"{', '.join(self.authors)}. {self.title}. {self.venue}, {self.year}."

    @property
    def bibtex(self) -> str:
        """The entry for BibTeX; braces keep the title's capital letters."""
        where = {"article": "journal", "inproceedings": "booktitle", "techreport": "institution"}
        fields = {
            "author": " and ".join(self.authors),
            "title": f"{{{self.title}}}",
            where.get(self.kind, "howpublished"): self.venue,
            "year": str(self.year),
        }
        lines = (f"  {name} = {{{value}}}" for name, value in fields.items())
        return f"@{self.kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"


PEARSON_1901 = Paper(
    "article",
    ("K. Pearson",),
    "On lines and planes of closest fit to systems of points in space",
    "Philosophical Magazine 2(11), 559-572",
    1901,
)
HOTELLING_1933 = Paper(
    "article",
    ("H. Hotelling",),
    "Analysis of a complex of statistical variables into principal components",
    "Journal of Educational Psychology 24, 417-441",
    1933,
)
LLOYD_1982 = Paper(
    "article",
    ("S. Lloyd",),
    "Least squares quantization in PCM",
    "IEEE Transactions on Information Theory 28(2), 129-137",
    1982,
)
RUMELHART_1986 = Paper(
    "article",
    ("D. Rumelhart", "G. Hinton", "R. Williams"),
    "Learning representations by back-propagating errors",
    "Nature 323, 533-536",
    1986,
)
HINTON_2002 = Paper(
    "article",
    ("G. Hinton",),
    "Training products of experts by minimizing contrastive divergence",
    "Neural Computation 14(8), 1771-1800",
    2002,
)
HINTON_2006 = Paper(
    "article",
    ("G. Hinton", "S. Osindero", "Y. Teh"),
    "A fast learning algorithm for deep belief nets",
    "Neural Computation 18(7), 1527-1554",
    2006,
)
HINTON_SALAKHUTDINOV_2006 = Paper(
    "article",
    ("G. Hinton", "R. Salakhutdinov"),
    "Reducing the dimensionality of data with neural networks",
    "Science 313, 504-507",
    2006,
)
BENGIO_2006 = Paper(
    "inproceedings",
    ("Y. Bengio", "P. Lamblin", "D. Popovici", "H. Larochelle"),
    "Greedy layer-wise training of deep networks",
    "NIPS 19",
    2006,
)
RANZATO_2007 = Paper(
    "inproceedings",
    ("M. Ranzato", "Y. Boureau", "Y. LeCun"),
    "Sparse feature learning for deep belief networks",
    "NIPS 20",
    2007,
)
VINCENT_2008 = Paper(
    "inproceedings",
    ("P. Vincent", "H. Larochelle", "Y. Bengio", "P.-A. Manzagol"),
    "Extracting and composing robust features with denoising autoencoders",
    "ICML",
    2008,
)
LAROCHELLE_2008 = Paper(
    "inproceedings",
    ("H. Larochelle", "Y. Bengio"),
    "Classification using discriminative restricted Boltzmann machines",
    "ICML",
    2008,
)
SHEN_2008 = Paper(
    "article",
    ("H. Shen", "J. Huang"),
    "Sparse principal component analysis via regularized low rank matrix approximation",
    "Journal of Multivariate Analysis 99(6), 1015-1034",
    2008,
)
HINTON_2010 = Paper(
    "techreport",
    ("G. Hinton",),
    "A practical guide to training restricted Boltzmann machines",
    "University of Toronto, UTML TR 2010-003",
    2010,
)
RANZATO_2010 = Paper(
    "inproceedings",
    ("M. Ranzato", "G. Hinton"),
    "Modeling pixel means and covariances using factorized third-order Boltzmann machines",
    "CVPR",
    2010,
)
MEMISEVIC_2010 = Paper(
    "article",
    ("R. Memisevic", "G. Hinton"),
    "Learning to represent spatial transformations with factored higher-order Boltzmann machines",
    "Neural Computation 22(6), 1473-1492",
    2010,
)
VINCENT_2010 = Paper(
    "article",
    ("P. Vincent", "H. Larochelle", "I. Lajoie", "Y. Bengio", "P.-A. Manzagol"),
    "Stacked denoising autoencoders: learning useful representations in a deep network with a local "
    "denoising criterion",
    "Journal of Machine Learning Research 11, 3371-3408",
    2010,
)
COATES_2011 = Paper(
    "inproceedings",
    ("A. Coates", "H. Lee", "A. Ng"),
    "An analysis of single-layer networks in unsupervised feature learning",
    "AISTATS",
    2011,
)
NG_2011 = Paper("misc", ("A. Ng",), "Sparse autoencoder", "CS294A lecture notes, Stanford University", 2011)
UFLDL_2011 = Paper(
    "misc",
    ("A. Ng", "J. Ngiam", "C. Y. Foo", "Y. Mai", "C. Suen"),
    "UFLDL tutorial",
    "Stanford University",
    2011,
)
MAKHZANI_2013 = Paper("misc", ("A. Makhzani", "B. Frey"), "k-Sparse autoencoders", "arXiv 1312.5663", 2013)
